"""A Glow that no longer trains, folded into as few operations as it takes.

ActNorm and the 1x1 convolution become one convolution, and its exact inverse another, both
computed in float64 and then cast; the gain of a coupling goes into its last convolution; the
part of the log-determinant that does not depend on the image becomes a number. What is left
are plain torch operations without any host synchronisation, so that autograd,
``torch.func`` transforms and double backward pass through.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .glow import SHIFT, Glow, Level
from .layers import GAIN, SCALE_SHIFT, FlowStep, squeeze, sum_image, unsqueeze


@dataclass(frozen=True)
class FrozenStep:
    """One step: two folded 1x1 convolutions (there and back) and the coupling's network."""

    forward_weight: Tensor
    forward_bias: Tensor
    inverse_weight: Tensor
    inverse_bias: Tensor
    conv1: tuple[Tensor, Tensor]
    conv2: tuple[Tensor, Tensor]
    conv3: tuple[Tensor, Tensor]
    affine: bool

    def network(self, a: Tensor) -> Tensor:
        """Return the coupling network's output for the unchanged half."""
        hidden = F.relu(F.conv2d(a, *self.conv1, padding=1), inplace=True)
        hidden = F.relu(F.conv2d(hidden, *self.conv2), inplace=True)
        return F.conv2d(hidden, *self.conv3, padding=1)

    def encode(self, h: Tensor, terms: list[Tensor] | None) -> Tensor:
        """Return the step's output; appends its log-det (N,), if any, to `terms`."""
        a, b = F.conv2d(h, self.forward_weight, self.forward_bias).chunk(2, 1)
        if not self.affine:
            return torch.cat([a, b + self.network(a)], 1)
        s, t = self.network(a).chunk(2, 1)
        if terms is not None:
            terms.append(sum_image(F.logsigmoid(s + SCALE_SHIFT)))
        return torch.cat([a, (b + t) * torch.sigmoid(s + SCALE_SHIFT)], 1)

    def decode(self, h: Tensor, terms: list[Tensor] | None) -> Tensor:
        """Undo :meth:`encode`; appends the log-det (N,) of the inverse to `terms`."""
        a, b = h.chunk(2, 1)
        if self.affine:
            s, t = self.network(a).chunk(2, 1)
            b = b / torch.sigmoid(s + SCALE_SHIFT) - t
            if terms is not None:
                terms.append(-sum_image(F.logsigmoid(s + SCALE_SHIFT)))
        else:
            b = b - self.network(a)
        return F.conv2d(torch.cat([a, b], 1), self.inverse_weight, self.inverse_bias)


@dataclass(frozen=True)
class FrozenLevel:
    """One level: its steps, its split prior, and the constant of its log-determinant."""

    steps: list[FrozenStep]
    split: tuple[Tensor, Tensor] | None
    top: tuple[Tensor, Tensor] | None
    log_det_per_pixel: float
    last: bool

    def moments(self, kept: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Return mean and log-deviation of what is put out, or None where they are 0 and 0."""
        if kept is None or self.split is None:
            return self.top
        mean, log_std = F.conv2d(kept, *self.split, padding=1).chunk(2, 1)
        return mean, log_std

    def encode(self, h: Tensor, terms: list[Tensor] | None) -> tuple[Tensor | None, Tensor]:
        """Return what goes on (None at the last level) and the latent that is put out."""
        h = squeeze(h)
        for step in self.steps:
            h = step.encode(h, terms)
        kept, out = (None, h) if self.last else h.chunk(2, 1)
        moments = self.moments(kept)
        if moments is not None:
            mean, log_std = moments
            out = (out - mean) * torch.exp(-log_std)
            if terms is not None and not self.last:
                terms.append(-sum_image(log_std))
        return kept, out

    def decode(self, kept: Tensor | None, latent: Tensor, terms: list[Tensor] | None) -> Tensor:
        """Undo :meth:`encode`; returns the level's input."""
        moments = self.moments(kept)
        if moments is not None:
            mean, log_std = moments
            latent = mean + latent * torch.exp(log_std)
            if terms is not None and not self.last:
                terms.append(sum_image(log_std))
        h = latent if kept is None else torch.cat([kept, latent], 1)
        for step in reversed(self.steps):
            h = step.decode(h, terms)
        return unsqueeze(h)


class FrozenGlow:
    """The map of a :class:`~flowsolve.flows.glow.Glow`, for use and not for training.

    Parameters
    ----------
    glow : Glow
        Trained network; copied, so that training it further changes nothing here.
    device : torch.device or str
        Where to compute.
    dtype : torch.dtype
        What to compute in. The folding itself is always done in float64.
    """

    def __init__(
        self, glow: Glow, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.config = glow.config
        self.device = torch.device(device)
        self.dtype = dtype
        with torch.no_grad():
            self.levels = [self._freeze_level(level, i) for i, level in enumerate(glow.levels)]  # type: ignore[arg-type]

    def encode(self, x: Tensor, log_det: bool = False) -> tuple[list[Tensor], Tensor | None]:
        """Encode images.

        Parameters
        ----------
        x : Tensor
            Images (N, C, H, W) in [0, 1], of this flow's dtype and on its device.
        log_det : bool
            Whether to compute the log-determinant too.

        Returns
        -------
        latents : list of Tensor
            Standardised latents, level 0 first.
        log_det : Tensor or None
            log|det| of the Jacobian of the latents with respect to x, (N,).
        """
        terms: list[Tensor] | None = [] if log_det else None
        h: Tensor | None = x
        latents = []
        for level in self.levels:
            assert h is not None
            h, latent = level.encode(h, terms)
            latents.append(latent)
        if terms is None:
            return latents, None
        return latents, self._total(terms, self.log_det_constant(x.shape[-2], x.shape[-1]), x)

    def decode(self, latents: Sequence[Tensor], log_det: bool = False) -> tuple[Tensor, Tensor | None]:
        """Decode latents: the inverse of :meth:`encode`.

        Parameters
        ----------
        latents : sequence of Tensor
            As :meth:`encode` returns them.
        log_det : bool
            Whether to compute the log-determinant too.

        Returns
        -------
        x : Tensor
            Images (N, C, H, W).
        log_det : Tensor or None
            log|det| of the Jacobian of x with respect to the latents, (N,).
        """
        terms: list[Tensor] | None = [] if log_det else None
        h: Tensor | None = None
        for level, latent in zip(reversed(self.levels), reversed(latents), strict=True):
            h = level.decode(h, latent, terms)
        assert h is not None
        if terms is None:
            return h, None
        return h, self._total(terms, -self.log_det_constant(h.shape[-2], h.shape[-1]), h)

    def log_det_constant(self, height: int, width: int) -> float:
        """Return the part of the encoder's log-determinant that no image of this size changes."""
        return sum(
            level.log_det_per_pixel * (height >> (i + 1)) * (width >> (i + 1))
            for i, level in enumerate(self.levels)
        )

    @staticmethod
    def _total(terms: list[Tensor], constant: float, like: Tensor) -> Tensor:
        if not terms:
            return like.new_full((like.shape[0],), constant)
        return torch.stack(terms).sum(0) + constant

    def _cast(self, tensor: Tensor) -> Tensor:
        # A fresh copy even where nothing changes, so that no later training step shows here.
        # The weights' layout decides the activations': on CPUs, channels last is about three
        # times as fast. `empty` is needed because a 1x1 weight counts as being in both layouts
        # and would keep the strides that say otherwise.
        last = tensor.ndim == 4 and self.device.type == "cpu"
        layout = torch.channels_last if last else torch.contiguous_format
        empty = torch.empty(tensor.shape, dtype=self.dtype, device=self.device, memory_format=layout)
        return empty.copy_(tensor.detach())

    def _pair(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        assert bias is not None
        return self._cast(weight), self._cast(bias)

    def _freeze_step(self, step: FlowStep, shift: float) -> FrozenStep:
        linear = copy.deepcopy(step).cpu().double()
        linear.actnorm.bias.sub_(shift)
        weight, bias = linear.linear()
        inverse_weight, inverse_bias = linear.inverse_linear()
        coupling = linear.coupling
        gain = torch.exp(GAIN * coupling.log_gain)
        conv3_bias = coupling.conv3.bias
        assert conv3_bias is not None
        return FrozenStep(
            forward_weight=self._cast(weight[:, :, None, None]),
            forward_bias=self._cast(bias),
            inverse_weight=self._cast(inverse_weight[:, :, None, None]),
            inverse_bias=self._cast(inverse_bias),
            conv1=self._pair(coupling.conv1.weight, coupling.conv1.bias),
            conv2=self._pair(coupling.conv2.weight, coupling.conv2.bias),
            conv3=self._pair(coupling.conv3.weight * gain[:, None, None, None], conv3_bias * gain),
            affine=coupling.affine,
        )

    def _freeze_level(self, level: Level, index: int) -> FrozenLevel:
        # The shift of the images goes into the first ActNorm, of which it is a part.
        steps = [
            self._freeze_step(step, SHIFT if index == 0 and k == 0 else 0.0)  # type: ignore[arg-type]
            for k, step in enumerate(level.steps)
        ]
        constant = 0.0
        for step in level.steps:
            assert isinstance(step, FlowStep)
            constant += float(step.actnorm.log_scale.double().sum())
            constant += float(step.conv1x1.log_diagonal.double().sum())
        split, top = None, None
        if level.split_prior is not None:
            split = self._pair(level.split_prior.weight, level.split_prior.bias)
            if level.last:
                mean, log_std = split[1].view(1, -1, 1, 1).chunk(2, 1)
                top, split = (mean, log_std), None
                assert level.split_prior.bias is not None
                constant -= float(level.split_prior.bias.double().chunk(2)[1].sum())
        return FrozenLevel(steps, split, top, constant, level.last)
