"""Finite differences of an image, of which total variation is the norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, namespace
from ..errors import ArgumentError
from .base import LinearOperator
from .checks import as_shape
from .registration import register_operator

BOUNDARIES = ("replicate", "circular")


@register_operator("gradient")
class Gradient(LinearOperator):
    """Forward differences along rows and columns.

    Parameters
    ----------
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image. Measurements are ``(2, C, H, W)``: first the
        differences from row to row, then those from column to column.
    boundary : {"replicate", "circular"}, optional
        Whether the difference past the last pixel is 0, or that to the first pixel.

    Raises
    ------
    ArgumentError
        If the boundary is neither.

    Notes
    -----
    AᵀA is the five-point Laplacian, which the FFT diagonalises on a circle and the cosine
    transform otherwise (here an FFT of the mirrored image); then
    f(A Aᵀ) = f(0) I + A h(AᵀA) Aᵀ with h(e) = (f(e) − f(0)) / e.
    """

    def __init__(self, dim_shape: Sequence[int], boundary: str = "replicate") -> None:
        shape = as_shape(dim_shape, "dim_shape", 3)
        if boundary not in BOUNDARIES:
            raise ArgumentError("boundary", repr(boundary), " or ".join(BOUNDARIES))
        super().__init__(shape, (2, *shape))
        self.boundary = boundary
        rows, columns = (n if boundary == "circular" else 2 * n for n in shape[1:])
        self._size = (rows, columns)
        along_rows = 4 * np.sin(np.pi * np.arange(rows) / rows) ** 2
        along_columns = 4 * np.sin(np.pi * np.arange(columns // 2 + 1) / columns) ** 2
        # With the axes of a measurement, of which the first, the direction, has length one.
        self._eigenvalues = HostArray((along_rows[:, None] + along_columns)[None, None])

    @property
    def has_closed_form(self) -> bool:
        """True: see the class."""
        return True

    def _apply(self, x: Array) -> Array:
        return namespace(x).stack([self._difference(x, -2), self._difference(x, -1)], axis=-4)

    def _adjoint(self, y: Array) -> Array:
        return self._back(y[..., 0, :, :, :], -2) + self._back(y[..., 1, :, :, :], -1)

    def _difference(self, x: Array, axis: int) -> Array:
        xp = namespace(x)
        if self.boundary == "circular":
            return xp.roll(x, -1, axis=axis) - x
        inner = _cut(x, axis, 1, None) - _cut(x, axis, 0, -1)
        return xp.concat([inner, xp.zeros_like(_cut(x, axis, 0, 1))], axis=axis)

    def _back(self, p: Array, axis: int) -> Array:
        xp = namespace(p)
        if self.boundary == "circular":
            return xp.roll(p, 1, axis=axis) - p
        inner, zero = _cut(p, axis, 0, -1), xp.zeros_like(_cut(p, axis, 0, 1))
        return xp.concat([zero, inner], axis=axis) - xp.concat([inner, zero], axis=axis)

    def _filter(self, x: Array, gain: Array) -> Array:
        """Return the image with each frequency multiplied; `gain` has the axes of a measurement."""
        xp = namespace(x)
        _, height, width = self.dim_shape
        if self.boundary == "replicate":
            for axis in (-2, -1):
                x = xp.concat([x, xp.flip(x, axis=axis)], axis=axis)
        transformed = xp.fft.rfftn(x, s=self._size, axes=(-2, -1)) * gain[..., 0, :, :, :]
        return xp.fft.irfftn(transformed, s=self._size, axes=(-2, -1))[..., :height, :width]

    def _cogram_function(self, f: Any, y: Array) -> Array:
        xp, e = namespace(y), self._eigenvalues.like(y)
        zero = f(xp.zeros((1, 1, 1, 1), dtype=y.dtype, device=y.device))
        positive = e > 0
        ratio = xp.where(positive, (f(e) - zero) / xp.where(positive, e, xp.ones_like(e)), xp.zeros_like(e))
        return zero * y + self.apply(self._filter(self.adjoint(y), ratio))

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        # Aᵀ f(A Aᵀ) = f(AᵀA) Aᵀ, without the detour.
        return self._filter(self.adjoint(y), f(self._eigenvalues.like(y)))

    def _lipschitz(self) -> tuple[float, str]:
        if self.boundary == "circular":
            return float(np.sqrt(np.max(self._eigenvalues.host))), "exact"
        # Of the mirrored image's frequencies, the last of each axis is not one of the image's.
        highest = [4 * np.sin(np.pi * (n - 1) / (2 * n)) ** 2 for n in self.dim_shape[1:]]
        return float(np.sqrt(sum(highest))), "exact"

    def _options(self) -> dict[str, Any]:
        return {"dim_shape": list(self.dim_shape), "boundary": self.boundary}


def _cut(x: Array, axis: int, start: int, stop: int | None) -> Array:
    """Return ``x[start:stop]`` along axis -1 or -2."""
    return x[..., start:stop] if axis == -1 else x[..., start:stop, :]
