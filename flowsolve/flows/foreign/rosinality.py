"""Files of https://github.com/rosinality/glow-pytorch (``model.state_dict()``, as its train.py saves it).

That program's flow has ActNorms with a plain scale (which may be negative), 1x1 convolutions by LU
factors or as matrices (its last level has LU factors always), and ones around the input of a
coupling's last convolution and of a split prior's. Its images are in [-0.5, 0.5], as here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..checkpoints import refuse_tensors
from ..config import GlowConfig
from .base import ForeignFormat, register_format
from .weights import Conv, Mixing, Weights

_STEP = re.compile(r"blocks\.(\d{1,3})\.flows\.(\d{1,3})\.(.+)")
_UNUSED = re.compile(r"blocks\.\d+\.flows\.\d+\.(actnorm\.initialized|invconv\.(u_mask|l_mask|l_eye))")
_LU = ("w_p", "w_l", "w_u", "w_s", "s_sign")


@register_format("rosinality")
@dataclass(frozen=True)
class Rosinality(ForeignFormat):
    """rosinality/glow-pytorch: additive or affine, LU or not (also that of Oberlin and Verm, ICIP 2021)."""

    example = "blocks.0.flows.0.actnorm.loc"
    bits = 5

    def architecture(self, tensors: Mapping[str, Tensor], source: str) -> dict[str, Any]:
        """See :meth:`ForeignFormat.architecture`."""
        found = [(m, t) for name, t in tensors.items() if (m := _STEP.fullmatch(name))]
        if not found:
            raise self._absent(source)
        level_of = [(int(m[1]), m[3], t) for m, t in found]
        steps: dict[int, int] = {}
        for match, _ in found:
            steps[int(match[1])] = max(steps.get(int(match[1]), 0), int(match[2]) + 1)
        last = max(steps)
        own = steps.pop(last)
        common = self._vote(steps.values() or [own], "number of steps", source)
        wide = [t.shape[1] / 2 ** (i + 2) for i, n, t in level_of if n == "actnorm.loc" and t.ndim == 4]
        channels = self._vote(wide, "number of channels", source)
        hidden = [t.shape[0] for _, n, t in level_of if n == "coupling.net.0.weight" and t.ndim == 4]
        # An additive coupling puts out half of the level's channels, an affine one all.
        bias = "coupling.net.4.conv.bias"
        outs = [t.numel() / (channels * 2 ** (i + 1)) for i, n, t in level_of if n == bias]
        return {
            "channels": channels,
            "levels": last + 1,
            "steps": common,
            "last_steps": None if own == common else own,
            "hidden": self._vote(hidden, "hidden channels", source),
            "coupling": "affine" if self._vote(outs, "kind of coupling", source) == 2 else "additive",
            "split_prior": "conditional",
            "border": 1,
        }

    def shapes(self, config: GlowConfig, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """See :meth:`ForeignFormat.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {}
        for level in range(config.levels):
            c, hidden = config.level_channels(level), config.hidden
            out = c if config.coupling == "affine" else c // 2
            for step in range(config.level_steps(level)):
                name = f"blocks.{level}.flows.{step}"
                shapes |= {f"{name}.actnorm.{part}": (1, c, 1, 1) for part in ("loc", "scale")}
                if f"{name}.invconv.weight" in tensors:
                    shapes[f"{name}.invconv.weight"] = (c, c, 1, 1)
                else:
                    shapes |= {f"{name}.invconv.{part}": (c, c) for part in _LU[:3]}
                    shapes |= {f"{name}.invconv.{part}": (c,) for part in _LU[3:]}
                net = f"{name}.coupling.net"
                shapes |= {f"{net}.0.weight": (hidden, c // 2, 3, 3), f"{net}.0.bias": (hidden,)}
                shapes |= {f"{net}.2.weight": (hidden, hidden, 1, 1), f"{net}.2.bias": (hidden,)}
                shapes |= _zero_conv(f"{net}.4", hidden, out)
            kept = c if level == config.levels - 1 else c // 2
            shapes |= _zero_conv(f"blocks.{level}.prior", kept, 2 * kept)
        return shapes

    def convert(self, config: GlowConfig, tensors: Mapping[str, Tensor], weights: Weights) -> None:
        """See :meth:`ForeignFormat.convert`."""
        for level in range(config.levels):
            for step in range(config.level_steps(level)):
                name, new = f"blocks.{level}.flows.{step}", f"levels.{level}.steps.{step}"
                scale = tensors[f"{name}.actnorm.scale"].double().flatten()
                mixing = _mixing(tensors, f"{name}.invconv").of_flipped(scale.sign())
                shift = tensors[f"{name}.actnorm.loc"].double()
                weights.put_linear(new, shift, scale.abs().log(), mixing)
                net = f"{name}.coupling.net"
                conv1, conv2, conv3 = (_conv(tensors, f"{net}.{part}") for part in ("0", "2", "4.conv"))
                weights.put_coupling(new, conv1, conv2, conv3, tensors[f"{net}.4.scale"])
            prior = _conv(tensors, f"blocks.{level}.prior.conv")
            prior = prior.then_gain(tensors[f"blocks.{level}.prior.scale"])
            weights.put_conv(f"levels.{level}.split_prior", prior)

    def ignores(self, name: str) -> bool:
        """See :meth:`ForeignFormat.ignores`: constants that the program stores beside its weights."""
        return _UNUSED.fullmatch(name) is not None

    def weights(self, config: GlowConfig, tensors: Mapping[str, Tensor], source: str, dtype: Any) -> Any:
        """See :meth:`ForeignFormat.weights`; refuses a network that never saw an image."""
        flags = [n for n, t in tensors.items() if n.endswith(".actnorm.initialized") and not t.any()]
        refuse_tensors(source, "ActNorms that were never initialised", flags)
        return super().weights(config, tensors, source, dtype)


def _zero_conv(name: str, channels: int, out: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.conv.weight": (out, channels, 3, 3),
        f"{name}.conv.bias": (out,),
        f"{name}.scale": (1, out, 1, 1),
    }


def _conv(tensors: Mapping[str, Tensor], name: str) -> Conv:
    return Conv(tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _mixing(tensors: Mapping[str, Tensor], name: str) -> Mixing:
    if f"{name}.weight" in tensors:
        return Mixing.of_matrix(tensors[f"{name}.weight"][:, :, 0, 0])
    p, lower, upper, log_s, sign = (tensors[f"{name}.{part}"].double() for part in _LU)
    return Mixing(p, lower.tril(-1), upper.triu(1), sign, log_s)
