"""Files of https://github.com/CACTuS-AI/GlowIP (``glowmodel.pt``; Asim et al., ICML 2020).

That program's couplings change the first half of the channels, ``b * scale + t`` with
``scale = sigmoid(s + 2) + o``, have ActNorms inside and interleave s and t; its last level has one
step; its splits are not conditioned. Its images are in [-0.5, 0.5], as here.

The constant o is not in the file. The program's own default is 0, but its last level is constructed
with ``nn_init_last_zeros`` in the place of the constant, so that o is 1 there, with that option's
default (``last_zeros``, True). Weights from before July 2020 were trained with 0 there too. A flow
trained with ``squeeze_contig`` has the same tensors as one without and another meaning: the file
cannot tell, and this module takes it for one without.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import ArgumentError
from ..config import GlowConfig
from .base import ForeignFormat, level_lengths, register_format
from .weights import Conv, Mixing, Weights, even_then_odd

_FLOW = re.compile(r"glow_modules\.(\d{1,4})\.(.+)")


@register_format("glowip")
@dataclass(frozen=True)
class GlowIP(ForeignFormat):
    """CACTuS-AI/GlowIP: affine or additive, one step in the last level (Asim et al., ICML 2020).

    Parameters
    ----------
    coupling_bias : float
        The constant o in the affine couplings' scales, as in the ``configs.json`` beside the weights.
    last_coupling_bias : float
        The same in the last level: 1 where ``last_zeros`` is true in ``configs.json``, 0 where it is
        false or the weights are older than the constant.
    """

    coupling_bias: float = 0.0
    last_coupling_bias: float = 1.0
    example = "glow_modules.1.actnorm.logs"
    bits = 5

    def __post_init__(self) -> None:
        for name in ("coupling_bias", "last_coupling_bias"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ArgumentError(name, value, "a finite number >= 0")

    def architecture(self, tensors: Mapping[str, Tensor], source: str) -> dict[str, Any]:
        """See :meth:`ForeignFormat.architecture`."""
        found = [(int(m[1]), m[2], t) for name, t in tensors.items() if (m := _FLOW.fullmatch(name))]
        sizes = {i: t.numel() for i, n, t in found if n == "actnorm.logs"}
        if not sizes:
            raise self._absent(source)
        lengths = level_lengths(i for i, _, _ in found)
        steps = self._vote(lengths[:-1] or lengths, "number of steps", source)
        wide = [size / 2 ** (i // (steps + 2) + 2) for i, size in sizes.items()]
        hidden = [t.shape[0] for _, n, t in found if n == "coupling.net.conv1.weight" and t.ndim == 4]
        bias = "coupling.net.conv3.bias"
        outs = [2 * t.numel() / sizes[i] for i, n, t in found if n == bias and i in sizes]
        affine = self._vote(outs, "kind of coupling", source) == 2
        fields: dict[str, Any] = {
            "channels": self._vote(wide, "number of channels", source),
            "levels": len(lengths),
            "steps": steps,
            "last_steps": None if lengths[-1] == steps else lengths[-1],
            "hidden": self._vote(hidden, "hidden channels", source),
            "coupling": "affine" if affine else "additive",
            "split_prior": "standard",
            "changed": "first",
        }
        if affine:
            fields |= {"shift": "after", "scale_offset": self.coupling_bias}
            if self.last_coupling_bias != self.coupling_bias:
                fields["last_scale_offset"] = self.last_coupling_bias
        return fields

    def shapes(self, config: GlowConfig, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """See :meth:`ForeignFormat.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {}
        for level in range(config.levels):
            c, hidden = config.level_channels(level), config.hidden
            out = c if config.coupling == "affine" else c // 2
            for step in range(config.level_steps(level)):
                name = _module(config, level, step)
                net = f"{name}.coupling.net"
                shapes |= _actnorm(f"{name}.actnorm", c) | {f"{name}.invconv.W": (c, c, 1, 1)}
                shapes |= {f"{net}.conv1.weight": (hidden, c // 2, 3, 3), f"{net}.conv1.bias": (hidden,)}
                shapes |= {f"{net}.conv2.weight": (hidden, hidden, 1, 1), f"{net}.conv2.bias": (hidden,)}
                shapes |= {f"{net}.conv3.weight": (out, hidden, 3, 3), f"{net}.conv3.bias": (out,)}
                shapes |= _actnorm(f"{net}.actnorm1", hidden) | _actnorm(f"{net}.actnorm2", hidden)
                shapes[f"{net}.logs"] = (out, 1, 1)
        return shapes

    def convert(self, config: GlowConfig, tensors: Mapping[str, Tensor], weights: Weights) -> None:
        """See :meth:`ForeignFormat.convert`."""
        for level in range(config.levels):
            for step in range(config.level_steps(level)):
                name, new = _module(config, level, step), f"levels.{level}.steps.{step}"
                mixing = Mixing.of_matrix(tensors[f"{name}.invconv.W"][:, :, 0, 0])
                shift, log_scale = (tensors[f"{name}.actnorm.{part}"].double() for part in ("b", "logs"))
                weights.put_linear(new, shift, log_scale, mixing)
                _put_coupling(tensors, f"{name}.coupling.net", weights, new, config.coupling == "affine")

    def notes(self, config: GlowConfig) -> list[str]:
        """See :meth:`ForeignFormat.notes`."""
        notes = ["trained without squeeze_contig"]
        if config.coupling == "affine":
            offset = config.level_scale_offset(config.levels - 1)
            notes.append(
                f"constant {config.scale_offset:g} in the couplings' scales, {offset:g} in the last level"
            )
        return notes


def _module(config: GlowConfig, level: int, step: int) -> str:
    return f"glow_modules.{level * (config.steps + 2) + 1 + step}"


def _actnorm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (1, channels, 1, 1) for part in ("logs", "b")}


def _put_coupling(tensors: Mapping[str, Tensor], net: str, weights: Weights, step: str, affine: bool) -> None:
    conv1, conv2, conv3 = (
        Conv(tensors[f"{net}.conv{i}.weight"], tensors[f"{net}.conv{i}.bias"]) for i in (1, 2, 3)
    )
    conv1 = conv1.then_actnorm(tensors[f"{net}.actnorm1.b"], tensors[f"{net}.actnorm1.logs"])
    conv2 = conv2.then_actnorm(tensors[f"{net}.actnorm2.b"], tensors[f"{net}.actnorm2.logs"])
    log_gain = tensors[f"{net}.logs"].flatten()
    if affine:
        order = even_then_odd(len(log_gain))
        conv3, log_gain = conv3.reordered(order), log_gain[order]
    weights.put_coupling(step, conv1, conv2, conv3, log_gain)
