"""Resizing with a filter that is widened where the image shrinks, so that nothing aliases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ArgumentError
from .axismap import AxisMap
from .checks import as_pair, as_shape
from .registration import register_operator
from .separable import Separable


def _bilinear(t: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(t), 0)


def _bicubic(t: np.ndarray) -> np.ndarray:
    # Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = −1/2.
    t = np.abs(t)
    inner, outer = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t < 1, inner, np.where(t < 2, outer, 0))


def _lanczos(t: np.ndarray) -> np.ndarray:
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "lanczos": _lanczos,
}


@register_operator("resize")
class Resize(Separable):
    """Resize an image with an interpolation filter, anti-aliased where it shrinks.

    The rule of Pillow's ``resize`` and of torch's ``interpolate(antialias=True)``: pixels are
    squares, the filter is stretched by the factor where the image shrinks, and its weights
    are cut at the edge and sum to one.

    Parameters
    ----------
    factor : float or (float, float), optional
        How many rows and columns become one, > 0: 4 for a quarter of the size, 0.5 for twice
        the size. Sizes are rounded up. Either this or `size`.
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image.
    method : {"bicubic", "lanczos", "bilinear"}, optional
        The filter: Keys's cubic with a = −1/2, Lanczos's with three lobes, or a triangle.
    size : int or (int, int), optional
        Rows and columns wanted.

    Raises
    ------
    ArgumentError
        If a factor or size is not positive, both or neither is given, or the method is
        unknown.
    """

    def __init__(
        self,
        factor: float | Sequence[float] | None,
        dim_shape: Sequence[int],
        method: str = "bicubic",
        *,
        size: int | Sequence[int] | None = None,
    ) -> None:
        channels, height, width = as_shape(dim_shape, "dim_shape", 3)
        if (factor is None) == (size is None):
            raise ArgumentError("factor", factor, "either a factor, or None and a size")
        if method not in METHODS:
            raise ArgumentError("method", repr(method), ", ".join(METHODS))
        if size is not None:
            rows, columns = as_pair(size, "size")
        else:
            scales = _factors(factor)
            rows, columns = (math.ceil(n / s) for n, s in zip((height, width), scales, strict=True))
        super().__init__((channels, height, width), (channels, rows, columns))
        self.method = method
        self._rows = AxisMap(resize_matrix(height, rows, method))
        self._columns = AxisMap(resize_matrix(width, columns, method))

    def axis_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrices that resize the rows and the columns."""
        return self._rows.matrix, self._columns.matrix

    def _apply(self, x: Array) -> Array:
        return self._columns.forward(self._rows.forward(x, -2), -1)

    def _adjoint(self, y: Array) -> Array:
        return self._rows.transpose(self._columns.transpose(y, -1), -2)

    def _options(self) -> dict[str, Any]:
        return {
            "factor": None,
            "dim_shape": list(self.dim_shape),
            "method": self.method,
            "size": list(self.codim_shape[1:]),
        }


def _factors(factor: Any) -> tuple[float, float]:
    pair = (factor, factor) if isinstance(factor, Real) else factor
    good = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
    if not good or not all(isinstance(f, Real) and 0 < float(f) < math.inf for f in pair):
        raise ArgumentError("factor", factor, "a finite number > 0, or two: (rows, columns)")
    return float(pair[0]), float(pair[1])


def resize_matrix(n: int, m: int, method: str) -> np.ndarray:
    """Return the matrix that resizes a line of n pixels to m.

    Parameters
    ----------
    n, m : int
        Pixels before and after.
    method : {"bicubic", "lanczos", "bilinear"}
        The filter.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(m, n)``; rows sum to one.
    """
    scale = n / m
    centres = (np.arange(m) + 0.5) * scale
    distances = (np.arange(n) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = METHODS[method](distances)
    return weights / weights.sum(axis=1, keepdims=True)
