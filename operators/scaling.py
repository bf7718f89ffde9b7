"""Positive gains: exposure, flat field, attenuation; what photon counts are proportional to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ArgumentError
from .checks import as_finite, as_shape
from .config import decode_array, encode_array, is_encoded_array
from .diagonal import Diagonal
from .registration import register_operator


@register_operator("scaling")
class Scaling(Diagonal):
    """Multiply by positive gains, shared or one set per image.

    A non-negative image stays non-negative and no pixel is lost, as Poisson noise and the
    Kullback–Leibler fidelity need: y ~ Poisson(peak · gain · x) / peak.

    Parameters
    ----------
    gain : float or array
        Numbers > 0: one for all pixels, an array of at most three axes that broadcasts to
        `dim_shape`, or of four axes, ``(N, C or 1, H or 1, W or 1)``, for N images.
    dim_shape : (int, int, int), optional
        Shape ``(C, H, W)`` of one image. Default: the gain's own last three axes.

    Raises
    ------
    ArgumentError
        If a gain is not finite and positive, or does not fit the images.
    """

    def __init__(self, gain: float | Array, dim_shape: Sequence[int] | None = None) -> None:
        shape = None if dim_shape is None else as_shape(dim_shape, "dim_shape", 3)
        given: Any = gain
        host = decode_array(given) if is_encoded_array(given) else as_finite(given, "gain")
        if not np.all(host > 0):
            raise ArgumentError("gain", f"{int(np.sum(host <= 0))} value(s) <= 0", "numbers > 0")
        super().__init__(host, shape, "gain")

    @property
    def gain(self) -> np.ndarray:
        """The gains, float64, read-only; they broadcast to ``(..., C, H, W)``."""
        return self._weights.host

    def _select(self, indices: list[int]) -> Scaling:
        return Scaling(self.gain[indices], self.dim_shape)

    def _options(self) -> dict[str, Any]:
        return {"gain": encode_array(self.gain), "dim_shape": list(self.dim_shape)}
