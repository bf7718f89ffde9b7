"""Colour to grey: one weighted mean of the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, namespace
from ..errors import ArgumentError
from .base import LinearOperator
from .checks import as_finite, as_shape
from .config import encode_array
from .registration import register_operator

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma, from ITU-R Recommendation BT.601."""


@register_operator("grey")
class Grey(LinearOperator):
    """Keep one weighted sum of the channels (restoring it is colourisation).

    Parameters
    ----------
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image; measurements are ``(1, H, W)``.
    weights : sequence of C floats, optional
        Weight of each channel, not all 0. Default: luma of BT.601 for three channels, else
        the mean.

    Raises
    ------
    ArgumentError
        If there are not C finite weights, or all are 0.

    Notes
    -----
    A Aᵀ = ‖weights‖² I.
    """

    def __init__(self, dim_shape: Sequence[int], weights: Sequence[float] | Array | None = None) -> None:
        channels, height, width = as_shape(dim_shape, "dim_shape", 3)
        if weights is None:
            weights = LUMA if channels == 3 else [1 / channels] * channels
        host = as_finite(weights, "weights")
        if host.shape != (channels,) or not host.any():
            accepted = f"{channels} numbers, one per channel, not all 0"
            raise ArgumentError("weights", f"shape {host.shape}" if host.any() else "zeros", accepted)
        super().__init__((channels, height, width), (1, height, width))
        self._weights = HostArray(host.reshape(channels, 1, 1))
        self._norm2 = float(np.sum(host**2))

    @property
    def weights(self) -> np.ndarray:
        """The weights, float64, shape ``(C,)``, read-only."""
        return self._weights.host[:, 0, 0]

    @property
    def has_closed_form(self) -> bool:
        """True: A Aᵀ is a multiple of the identity."""
        return True

    def _apply(self, x: Array) -> Array:
        total = float(self.weights[0]) * x[..., :1, :, :]
        for c in range(1, self.dim_shape[0]):
            total = total + float(self.weights[c]) * x[..., c : c + 1, :, :]
        return total

    def _adjoint(self, y: Array) -> Array:
        return y * self._weights.like(y)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        xp = namespace(y)
        return f(xp.full((1, 1, 1), self._norm2, dtype=y.dtype, device=y.device)) * y

    def _lipschitz(self) -> tuple[float, str]:
        return float(np.sqrt(self._norm2)), "exact"

    def _options(self) -> dict[str, Any]:
        return {"dim_shape": list(self.dim_shape), "weights": encode_array(self.weights)}
