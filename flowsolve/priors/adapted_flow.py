"""What the adapters of flows of other libraries share: shapes, ranges, standardised latents, batches."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ..ambient import undisturbed
from ..errors import ArgumentError
from .base import FlowPrior
from .wrapped import WrappedPrior


class AdaptedFlow(FlowPrior, WrappedPrior):
    """A flow of another library as a prior; a subclass says how its library maps to noise and back.

    Parameters
    ----------
    flow : torch.nn.Module
        The trained flow; copied and frozen.
    image_shape : (int, int, int)
        Channels, height and width of its images.
    vectors : bool
        Whether the flow takes images as vectors (N, C·H·W).
    scale, offset : float
        The flow sees ``scale * x + offset`` of images x in [0, 1], as it was trained.
    **options
        ``name``, ``device``, ``dtype``, ``source``, ``card``, ``sha256``: see
        `flowsolve.priors.wrapped.WrappedPrior`.

    Raises
    ------
    ArgumentError
        If it is no flow of the library, its base is not Gaussian, or `scale` is 0.
    """

    argument = "flow"

    def __init__(
        self,
        flow: nn.Module,
        image_shape: tuple[int, int, int],
        *,
        vectors: bool = False,
        scale: float = 1.0,
        offset: float = 0.0,
        **options: Any,
    ) -> None:
        if len(image_shape) != 3 or min(image_shape) < 1:
            raise ArgumentError("image_shape", image_shape, "channels, height and width")
        if not (math.isfinite(scale) and scale != 0):
            raise ArgumentError("scale", scale, "a number other than 0")
        channels, height, width = image_shape
        super().__init__(flow, channels=channels, size=(height, width), **options)
        self.vectors, self.scale, self.offset = vectors, float(scale), float(offset)

    def _identity(self) -> dict[str, Any]:
        return super()._identity() | {"vectors": self.vectors, "scale": self.scale, "offset": self.offset}

    @abstractmethod
    def _to_noise(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the latents of what the flow sees, finest level first, and log|det|, shape (N,)."""

    @abstractmethod
    def _from_noise(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the flow makes of standard normal latents, finest level first, and log|det|, (N,)."""

    @undisturbed
    def encode(self, x: Tensor, log_det: bool = False) -> Any:
        """Return the latents (..., n) of images (..., C, H, W), and log|det J_E| if asked for."""
        self.check_image(x)
        batch, flat = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
        seen = self.scale * flat + self.offset
        levels, total = self._to_noise(seen.flatten(1) if self.vectors else seen)
        z = torch.cat([level.flatten(1) for level in levels], 1).reshape(*batch, -1)
        return (z, (total + self._log_scale()).reshape(batch)) if log_det else z

    @undisturbed
    def decode(self, z: Tensor, log_det: bool = False) -> Any:
        """Return the images of latents, the inverse of `encode`, and log|det J_D| if asked for."""
        batch = z.shape[:-1] if isinstance(z, Tensor) else ()
        levels = [
            part.reshape(-1, *shape)
            for part, shape in zip(self.split_latent(z), self.latent_shapes, strict=True)
        ]
        seen, total = self._from_noise(levels)
        x = ((seen - self.offset) / self.scale).reshape(*batch, *self.image_shape)
        return (x, (total - self._log_scale()).reshape(batch)) if log_det else x

    def _log_scale(self) -> float:
        """Return the log-determinant of ``scale * x + offset``."""
        return math.prod(self.image_shape) * math.log(abs(self.scale))
