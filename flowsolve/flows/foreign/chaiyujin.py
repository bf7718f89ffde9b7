"""Files of https://github.com/chaiyujin/glow-pytorch (``trained.pkg``, or the ``state_dict`` in it).

That program's couplings have ActNorms in place of biases and interleave shift and scale; so do its
split priors with mean and deviation. The top prior is standard normal or learned. Its images are in
[0, 1] inside the flow too, which the first ActNorm takes in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import refuse_tensors
from ..config import GlowConfig
from ..glow import SHIFT
from .base import ForeignFormat, level_lengths, register_format
from .weights import Conv, Mixing, Weights, even_then_odd, odd_then_even

_LAYER = re.compile(r"flow\.layers\.(\d{1,4})\.(.+)")
_LU = ("p", "l", "u", "log_s", "sign_s")


@register_format("chaiyujin")
@dataclass(frozen=True)
class Chaiyujin(ForeignFormat):
    """chaiyujin/glow-pytorch: affine or additive, top prior learned or not, without classes."""

    example = "flow.layers.1.actnorm.logs"
    bits = 8

    def architecture(self, tensors: Mapping[str, Tensor], source: str) -> dict[str, Any]:
        """See :meth:`ForeignFormat.architecture`."""
        layers = [(int(m[1]), m[2], t) for name, t in tensors.items() if (m := _LAYER.fullmatch(name))]
        sizes = {i: t.numel() for i, n, t in layers if n == "actnorm.logs"}
        if not sizes:
            raise self._absent(source)
        refuse_tensors(source, "classes as a condition, which a prior does not take", _conditions(tensors))
        lengths = level_lengths(i for i, n, _ in layers if not n.startswith("conv."))
        steps, levels = self._vote(lengths, "number of steps", source), len(lengths)
        wide = [size / 2 ** (i // (steps + 2) + 2) for i, size in sizes.items()]
        hidden = [t.shape[0] for _, n, t in layers if n == "f.0.weight" and t.ndim == 4]
        outs = [2 * t.numel() / sizes[i] for i, n, t in layers if n == "f.4.bias" and i in sizes]
        fields: dict[str, Any] = {
            "channels": self._vote(wide, "number of channels", source),
            "levels": levels,
            "steps": steps,
            "hidden": self._vote(hidden, "hidden channels", source),
            "coupling": "affine" if self._vote(outs, "kind of coupling", source) == 2 else "additive",
            "split_prior": "conditional",
        }
        # The program keeps zeros of the shape of its top latent, which tells the size of the images.
        top = tensors.get("prior_h")
        if top is not None and top.ndim == 4:
            fields["image_size"] = (top.shape[2] * 2**levels, top.shape[3] * 2**levels)
        return fields

    def shapes(self, config: GlowConfig, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """See :meth:`ForeignFormat.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {}
        for level in range(config.levels):
            c, hidden = config.level_channels(level), config.hidden
            out = c if config.coupling == "affine" else c // 2
            for step in range(config.steps):
                name = _layer(config, level, step)
                shapes |= _actnorm(f"{name}.actnorm", c)
                if any(f"{name}.invconv.{part}" in tensors for part in _LU):
                    shapes |= {f"{name}.invconv.{part}": (c, c) for part in _LU[:3]}
                    shapes |= {f"{name}.invconv.{part}": (c,) for part in _LU[3:]}
                else:
                    shapes[f"{name}.invconv.weight"] = (c, c)
                shapes[f"{name}.f.0.weight"] = (hidden, c // 2, 3, 3)
                shapes[f"{name}.f.2.weight"] = (hidden, hidden, 1, 1)
                shapes |= _actnorm(f"{name}.f.0.actnorm", hidden) | _actnorm(f"{name}.f.2.actnorm", hidden)
                shapes |= _zero_conv(f"{name}.f.4", hidden, out)
            if level < config.levels - 1:
                shapes |= _zero_conv(f"{_layer(config, level, config.steps)}.conv", c // 2, c)
        top = 2 * config.level_channels(config.levels - 1)
        if any(name.startswith("learn_top.") for name in tensors):
            shapes |= _zero_conv("learn_top", top, top)
        return shapes

    def convert(self, config: GlowConfig, tensors: Mapping[str, Tensor], weights: Weights) -> None:
        """See :meth:`ForeignFormat.convert`."""
        for level in range(config.levels):
            for step in range(config.steps):
                name, new = _layer(config, level, step), f"levels.{level}.steps.{step}"
                shift, log_scale = (tensors[f"{name}.actnorm.{part}"].double() for part in ("bias", "logs"))
                if level == step == 0:
                    shift = shift + SHIFT
                weights.put_linear(new, shift, log_scale, _mixing(tensors, f"{name}.invconv"))
                _put_coupling(tensors, f"{name}.f", weights, new, config.coupling == "affine")
            if level < config.levels - 1:
                split = _zero_conv_of(tensors, f"{_layer(config, level, config.steps)}.conv")
                # The program puts out mean and log-deviation in turns.
                split = split.reordered(even_then_odd(len(split.bias)))
            else:
                split = _top(config, tensors)
            weights.put_conv(f"levels.{level}.split_prior", split)

    def ignores(self, name: str) -> bool:
        """See :meth:`ForeignFormat.ignores`: zeros of the top latent's shape."""
        return name == "prior_h"

    def weights(self, config: GlowConfig, tensors: Mapping[str, Tensor], source: str, dtype: Any) -> Any:
        """See :meth:`ForeignFormat.weights`; refuses what the program refuses to compute with."""
        moved = [name for name in ("prior_h",) if name in tensors and tensors[name].any()]
        refuse_tensors(source, "tensors that must be zero", moved)
        return super().weights(config, tensors, source, dtype)


def _conditions(tensors: Mapping[str, Tensor]) -> list[str]:
    return sorted(name for name in tensors if name.startswith(("project_ycond.", "project_class.")))


def _layer(config: GlowConfig, level: int, step: int) -> str:
    return f"flow.layers.{level * (config.steps + 2) + 1 + step}"


def _actnorm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (1, channels, 1, 1) for part in ("bias", "logs")}


def _zero_conv(name: str, channels: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, channels, 3, 3), f"{name}.bias": (out,), f"{name}.logs": (out, 1, 1)}


def _zero_conv_of(tensors: Mapping[str, Tensor], name: str) -> Conv:
    return Conv(tensors[f"{name}.weight"], tensors[f"{name}.bias"]).then_gain(tensors[f"{name}.logs"])


def _mixing(tensors: Mapping[str, Tensor], name: str) -> Mixing:
    if f"{name}.weight" in tensors:
        return Mixing.of_matrix(tensors[f"{name}.weight"])
    p, lower, upper, log_s, sign = (tensors[f"{name}.{part}"].double() for part in _LU)
    return Mixing(p, lower.tril(-1), upper.triu(1), sign, log_s)


def _normed(tensors: Mapping[str, Tensor], name: str) -> Conv:
    """Return a convolution that has an ActNorm in place of a bias."""
    weight = tensors[f"{name}.weight"]
    shift, log_scale = tensors[f"{name}.actnorm.bias"], tensors[f"{name}.actnorm.logs"]
    return Conv(weight, weight.new_zeros(len(weight))).then_actnorm(shift, log_scale)


def _put_coupling(tensors: Mapping[str, Tensor], net: str, weights: Weights, step: str, affine: bool) -> None:
    last = Conv(tensors[f"{net}.4.weight"], tensors[f"{net}.4.bias"])
    log_gain = tensors[f"{net}.4.logs"].flatten()
    if affine:
        # The program puts out shift and scale in turns; here the scales come first.
        order = odd_then_even(len(log_gain))
        last, log_gain = last.reordered(order), log_gain[order]
    weights.put_coupling(step, _normed(tensors, f"{net}.0"), _normed(tensors, f"{net}.2"), last, log_gain)


def _top(config: GlowConfig, tensors: Mapping[str, Tensor]) -> Conv:
    """Return the last level's split prior: only its bias counts, as it runs on zeros."""
    channels = config.level_channels(config.levels - 1)
    weight = torch.zeros(2 * channels, channels, 3, 3, dtype=torch.float64)
    if "learn_top.bias" not in tensors:
        return Conv(weight, weight.new_zeros(2 * channels))
    return Conv(weight, _zero_conv_of(tensors, "learn_top").bias)
