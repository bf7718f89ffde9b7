"""From the layers that train to those that do not: everything that is constant is folded once.

ActNorm and the 1x1 convolution become one convolution, and its exact inverse another, both
computed in float64 and then cast; the gain of a coupling goes into its last convolution, the
shift of the images into the first ActNorm; the part of the log-determinant that does not
depend on the image becomes a few numbers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .frozen import FrozenConv, FrozenLevel, FrozenMixing, FrozenStep
from .glow import SHIFT, Glow, Level
from .layers import GAIN, FlowStep


@dataclass(frozen=True)
class Folder:
    """Folds a network's levels for one device and dtype.

    Parameters
    ----------
    device : torch.device
        Where the result computes.
    dtype : torch.dtype
        Of everything but the couplings' networks.
    coupling_dtype : torch.dtype
        Of the couplings' networks.
    layout : torch.memory_format
        Of the weights of convolutions.
    border : int
        Constant around the input of each coupling's last convolution and of the split priors.
    """

    device: torch.device
    dtype: torch.dtype
    coupling_dtype: torch.dtype
    layout: torch.memory_format
    border: int = 0

    @torch.no_grad()
    def fold(self, glow: Glow) -> list[FrozenLevel]:
        """Return the network's levels, sharing no memory with it."""
        return [self._level(level, SHIFT if i == 0 else 0.0) for i, level in enumerate(glow.levels)]  # type: ignore[arg-type]

    def _level(self, level: Level, shift: float) -> FrozenLevel:
        steps, constant = [], 0.0
        for k, step in enumerate(level.steps):
            assert isinstance(step, FlowStep)
            steps.append(self._step(step, shift if k == 0 else 0.0))
            constant += float(step.actnorm.log_scale.double().sum())
            constant += float(step.conv1x1.log_diagonal.double().sum())
        split, taps = None, None
        if level.split_prior is not None:
            weight, bias = _double(level.split_prior)
            split = self._conv(weight, bias, self.dtype, self.border)
            if level.last:
                constant -= float(bias.chunk(2)[1].sum())
                taps = (-self.border * weight.sum(1)).chunk(2)[1].sum(0) if self.border else None
        per_tap = [] if taps is None else taps.tolist()
        return FrozenLevel(steps, split, level.last, constant, per_tap)

    def _step(self, step: FlowStep, shift: float) -> FrozenStep:
        linear = copy.deepcopy(step).cpu().double()
        linear.actnorm.bias.sub_(shift)
        weight, bias = linear.linear()
        inverse_weight, inverse_bias = linear.inverse_linear()
        coupling = linear.coupling
        gain = torch.exp(GAIN * coupling.log_gain)
        weight3, bias3 = _double(coupling.conv3)
        maps = [(weight[:, :, None, None], bias), (inverse_weight[:, :, None, None], inverse_bias)]

        def mixings(dtype: torch.dtype) -> tuple[FrozenMixing, FrozenMixing]:
            there, back = (FrozenMixing(self._cast(w, dtype), self._cast(b, dtype)) for w, b in maps)
            return there, back

        return FrozenStep(
            ways=mixings(self.dtype),
            double=mixings(torch.float64),
            conv1=self._conv(*_double(coupling.conv1), self.coupling_dtype),
            conv2=self._conv(*_double(coupling.conv2), self.coupling_dtype),
            conv3=self._conv(
                weight3 * gain[:, None, None, None], bias3 * gain, self.coupling_dtype, self.border
            ),
            rule=coupling.rule,
        )

    def _conv(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, border: int = 0) -> FrozenConv:
        taps = self._cast(border * weight.sum(1, keepdim=True), self.dtype) if border else None
        return FrozenConv(self._cast(weight, dtype), self._cast(bias, dtype), taps)

    def _cast(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        # A fresh copy even where nothing changes, so that no later training step shows here.
        # The weights' layout decides the activations'. `empty` is needed because a 1x1 weight
        # counts as being in both layouts and would keep the strides that say otherwise.
        layout = self.layout if tensor.ndim == 4 else torch.contiguous_format
        empty = torch.empty(tensor.shape, dtype=dtype, device=self.device, memory_format=layout)
        return empty.copy_(tensor)


def _double(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert conv.bias is not None
    return conv.weight.double(), conv.bias.double()
