"""The steps and levels of a Glow that no longer trains, as plain functions of tensors.

Nothing here is written in place but fresh results, and nothing waits for the device, so that
autograd, forward mode, ``torch.func`` transforms and double backward pass through. Gradients
that are only needed once take the shorter way of :mod:`.passes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .coupling import CouplingRule
from .layers import squeeze, sum_image, unsqueeze
from .pairs import conv_pairs, pair, transposed_weight, worth_pairing


@dataclass(frozen=True)
class FrozenConv:
    """A convolution of odd size that keeps the image's size, its input padded with a constant.

    Parameters
    ----------
    weight : Tensor
        (out, in, k, k).
    bias : Tensor
        (out,).
    taps : Tensor or None
        None where the padding is 0. Otherwise what each of the kernel's taps adds where it
        falls outside of the image, (out, 1, k, k): a constant border adds the same to every
        image, so the input itself need not be padded.
    """

    weight: Tensor
    bias: Tensor
    taps: Tensor | None = None

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor] | None:
        if not worth_pairing(self.weight):
            return None
        return pair(self.weight), torch.cat([self.bias, self.bias])

    @cached_property
    def _transposed_pairs(self) -> Tensor | None:
        weight = transposed_weight(self.weight)
        return pair(weight) if worth_pairing(weight) else None

    @cached_property
    def padding(self) -> int:
        """Width of the border."""
        return int(self.weight.shape[-1]) // 2

    def __call__(self, x: Tensor) -> Tensor:
        """Return the convolution of `x` with its border 0; :meth:`finish` adds the border's part."""
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)

    def border(self, height: int, width: int) -> Tensor | None:
        """Return what the border adds to a result of this size, (1, out, height, width), or None."""
        if self.taps is None:
            return None
        outside = torch.zeros(1, 1, height, width, dtype=self.taps.dtype, device=self.taps.device)
        return F.conv2d(F.pad(outside, [self.padding] * 4, value=1.0), self.taps)

    def finish(self, y: Tensor) -> Tensor:
        """Return a result with the border's part added, in the dtype of the flow."""
        border = self.border(y.shape[-2], y.shape[-1])
        return y if border is None else y + border

    def run(self, x: Tensor) -> Tensor:
        """Return what a call returns, from channels last faster; for no transform."""
        if self._pairs is not None and x.shape[-1] % 2 == 0:
            return conv_pairs(x, *self._pairs)
        return self(x)

    def run_transposed(self, g: Tensor) -> Tensor:
        """Return the product of `g` with the transposed Jacobian, which has no border."""
        if self._transposed_pairs is not None and g.shape[-1] % 2 == 0:
            return conv_pairs(g, self._transposed_pairs, None)
        return F.conv_transpose2d(g, self.weight, padding=self.padding)


@dataclass(frozen=True)
class FrozenMixing:
    """A 1x1 convolution that mixes all channels: weight (C, C, 1, 1) and bias (C,)."""

    weight: Tensor
    bias: Tensor

    @cached_property
    def matrix(self) -> Tensor:
        """The weight as a matrix (C, C)."""
        return self.weight[:, :, 0, 0].contiguous()

    @cached_property
    def transposed(self) -> Tensor:
        """The transpose of the matrix, as a view of it."""
        return self.matrix.T

    def __call__(self, h: Tensor) -> Tensor:
        """Return the convolution."""
        return F.conv2d(h, self.weight, self.bias)


@dataclass(frozen=True)
class FrozenStep:
    """One step: two folded 1x1 convolutions, there and back, and the coupling's network.

    The network's tensors may be of a narrower dtype than the step's own: then only its
    convolutions run in it, on both ways of the step alike, so that they stay each other's
    inverse.
    """

    ways: tuple[FrozenMixing, FrozenMixing]
    double: tuple[FrozenMixing, FrozenMixing]
    conv1: FrozenConv
    conv2: FrozenConv
    conv3: FrozenConv
    rule: CouplingRule

    def mixing(self, forward: bool, dtype: torch.dtype) -> FrozenMixing:
        """Return the 1x1 convolution or its inverse in the step's dtype, or in float64."""
        there, back = self.ways if dtype == self.ways[0].weight.dtype else self.double
        return there if forward else back

    def network(self, a: Tensor) -> Tensor:
        """Return the coupling network's output for the unchanged half, in that half's dtype."""
        hidden = F.relu(self.conv1(a.to(self.conv1.weight.dtype)), inplace=True)
        hidden = F.relu(self.conv2(hidden), inplace=True)
        return self.conv3.finish(self.conv3(hidden).to(a.dtype))

    def encode(self, h: Tensor, terms: list[Tensor] | None) -> Tensor:
        """Return the step's output; appends its log-det (N,), if any, to `terms`."""
        a, b = self.rule.halves(self.ways[0](h))
        out = self.network(a)
        if terms is not None and self.rule.affine:
            terms.append(sum_image(self.rule.log_scale(out.chunk(2, 1)[0])))
        return self.rule.join(a, self.rule.apply(b, out))

    def decode(self, h: Tensor, terms: list[Tensor] | None) -> Tensor:
        """Undo :meth:`encode`; appends the log-det (N,) of the inverse to `terms`."""
        a, b = self.rule.halves(h)
        out = self.network(a)
        if terms is not None and self.rule.affine:
            terms.append(-sum_image(self.rule.log_scale(out.chunk(2, 1)[0])))
        return self.ways[1](self.rule.join(a, self.rule.undo(b, out)))


@dataclass(frozen=True)
class FrozenLevel:
    """One level: its steps, its split prior, and the constants of its log-determinant.

    ``split`` predicts mean and log-deviation, one after the other, from what goes on; at the
    last level nothing goes on, and it runs on zeros of no channels: only its bias and its
    border count.
    """

    steps: list[FrozenStep]
    split: FrozenConv | None
    last: bool
    log_det_per_pixel: float
    log_det_per_tap: list[list[float]]

    def moments(self, kept: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
        """Return mean and log-deviation of what is put out, or None where they are 0 and 0.

        Parameters
        ----------
        kept : Tensor or None
            The half that goes on, (N, C, H, W); None at the last level.
        size : (int, int)
            H and W.

        Returns
        -------
        tuple of Tensor or None
            Each (N, C, H, W), or (1, C, H, W) or (1, C, 1, 1) at the last level.
        """
        if self.split is None:
            return None
        if kept is not None:
            moments = self.split.finish(self.split(kept))
        else:
            border = self.split.border(*size)
            moments = self.split.bias.view(1, -1, 1, 1)
            moments = moments if border is None else moments + border
        mean, log_std = moments.chunk(2, 1)
        return mean, log_std

    def log_det_constant(self, height: int, width: int) -> float:
        """Return the part of the encoder's log-determinant that no image of this size changes."""
        total = self.log_det_per_pixel * height * width
        for i, row in enumerate(self.log_det_per_tap):
            for j, tap in enumerate(row):
                total += tap * (height * width - (height - abs(i - 1)) * (width - abs(j - 1)))
        return total

    def encode(self, h: Tensor, terms: list[Tensor] | None) -> tuple[Tensor | None, Tensor]:
        """Return what goes on (None at the last level) and the latent that is put out."""
        h = squeeze(h)
        for step in self.steps:
            h = step.encode(h, terms)
        kept, out = (None, h) if self.last else h.chunk(2, 1)
        moments = self.moments(kept, (h.shape[-2], h.shape[-1]))
        if moments is not None:
            mean, log_std = moments
            out = (out - mean) * torch.exp(-log_std)
            if terms is not None and not self.last:
                terms.append(-sum_image(log_std))
        return kept, out

    def decode(self, kept: Tensor | None, latent: Tensor, terms: list[Tensor] | None) -> Tensor:
        """Undo :meth:`encode`; returns the level's input."""
        moments = self.moments(kept, (latent.shape[-2], latent.shape[-1]))
        if moments is not None:
            mean, log_std = moments
            latent = mean + latent * torch.exp(log_std)
            if terms is not None and not self.last:
                terms.append(sum_image(log_std))
        h = latent if kept is None else torch.cat([kept, latent], 1)
        for step in reversed(self.steps):
            h = step.decode(h, terms)
        return unsqueeze(h)
