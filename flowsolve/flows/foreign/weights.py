"""Foreign layers written as layers of a Glow, without approximation; all in float64.

What a program computes by a linear layer after another one, or in another order of channels, is
one linear layer here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..layers import GAIN


@dataclass(frozen=True)
class Mixing:
    """An invertible matrix ``P (tril(L, -1) + I) (triu(U, 1) + diag(s exp(d)))`` by its factors.

    Parameters
    ----------
    permutation, lower, upper : Tensor
        P, L and U, each (C, C).
    sign, log_diagonal : Tensor
        s and d, each (C,).
    """

    permutation: Tensor
    lower: Tensor
    upper: Tensor
    sign: Tensor
    log_diagonal: Tensor

    @classmethod
    def of_matrix(cls, weight: Tensor) -> Mixing:
        """Factorise a matrix (C, C); a singular one gets an infinite ``log_diagonal``."""
        permutation, lower, upper = torch.linalg.lu(weight.double())
        diagonal = upper.diagonal()
        return cls(permutation, lower.tril(-1), upper.triu(1), diagonal.sign(), diagonal.abs().log())

    def of_flipped(self, sign: Tensor) -> Mixing:
        """Return the matrix whose inputs are first multiplied by `sign`, (C,) of 1 and -1."""
        return Mixing(self.permutation, self.lower, self.upper * sign, self.sign * sign, self.log_diagonal)


@dataclass(frozen=True)
class Conv:
    """A convolution: weight (out, in, k, k) and bias (out,)."""

    weight: Tensor
    bias: Tensor

    def then_actnorm(self, shift: Tensor, log_scale: Tensor) -> Conv:
        """Return the convolution whose output is shifted, then scaled, channel by channel."""
        gain = log_scale.double().flatten().exp()
        bias = (self.bias.double() + shift.double().flatten()) * gain
        return Conv(self.weight.double() * gain[:, None, None, None], bias)

    def then_gain(self, log_gain: Tensor) -> Conv:
        """Return the convolution whose output is multiplied by ``exp(3 log_gain)``."""
        return self.then_actnorm(torch.zeros_like(self.bias), GAIN * log_gain.double())

    def reordered(self, order: Tensor) -> Conv:
        """Return the convolution with its outputs in another order."""
        return Conv(self.weight[order], self.bias[order])


def even_then_odd(channels: int) -> Tensor:
    """Return the order that takes interleaved channels apart: 0, 2, 4, ..., 1, 3, 5, ..."""
    index = torch.arange(channels)
    return torch.cat([index[0::2], index[1::2]])


def odd_then_even(channels: int) -> Tensor:
    """Return the same with the odd ones first: 1, 3, 5, ..., 0, 2, 4, ..."""
    index = torch.arange(channels)
    return torch.cat([index[1::2], index[0::2]])


class Weights:
    """The tensors of a Glow, as they are gathered.

    Parameters
    ----------
    dtype : torch.dtype
        What they are stored as.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.tensors: dict[str, Tensor] = {}

    def put(self, name: str, tensor: Tensor) -> None:
        """Store one tensor, rounded to the dtype, in memory of its own."""
        self.tensors[name] = tensor.to(self.dtype, copy=True).contiguous()

    def put_conv(self, name: str, conv: Conv) -> None:
        """Store a convolution."""
        self.put(f"{name}.weight", conv.weight)
        self.put(f"{name}.bias", conv.bias)

    def put_linear(self, step: str, shift: Tensor, log_scale: Tensor, mixing: Mixing) -> None:
        """Store the ActNorm and the 1x1 convolution of a step, named ``levels.I.steps.K``."""
        self.put(f"{step}.actnorm.bias", shift.flatten())
        self.put(f"{step}.actnorm.log_scale", log_scale.flatten())
        for part in ("permutation", "sign", "lower", "upper", "log_diagonal"):
            self.put(f"{step}.conv1x1.{part}", getattr(mixing, part))

    def put_coupling(self, step: str, conv1: Conv, conv2: Conv, conv3: Conv, log_gain: Tensor) -> None:
        """Store the coupling of a step, named ``levels.I.steps.K``."""
        for name, conv in (("conv1", conv1), ("conv2", conv2), ("conv3", conv3)):
            self.put_conv(f"{step}.coupling.{name}", conv)
        self.put(f"{step}.coupling.log_gain", log_gain.flatten())
