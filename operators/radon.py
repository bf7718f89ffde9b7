"""Radon transform with parallel rays: computed tomography, with the exact adjoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import csr_array, vstack

from ..arrays import Array, namespace
from ..errors import ArgumentError
from .base import LinearOperator
from .checks import as_finite, as_shape
from .config import decode_array, encode_array, is_encoded_array
from .iterative import perron_bound
from .registration import register_operator
from .sparse import SparseMatrix


@register_operator("radon")
class Radon(LinearOperator):
    """Sums along parallel rays, for several directions (a sinogram).

    Each ray is sampled once a pixel, and the image is interpolated bilinearly between its
    pixels, with zeros around it: the forward transform of :func:`skimage.transform.radon`.
    The adjoint uses the same weights, transposed, which skimage's back-projection does not.

    Parameters
    ----------
    angles : int or sequence of float
        Directions in degrees; or how many, evenly over 180 degrees from 0 on.
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image. Measurements are ``(C, angles, detectors)``, in
        units of image value times pixel.
    detectors : int, optional
        Number of detector pixels, one image pixel apart, and of samples along a ray.
        Default: the diagonal, rounded up, so that every ray is seen (skimage's
        ``circle=False``). The side of a square image gives skimage's ``circle=True``, which
        does not see all of the corners.

    Raises
    ------
    ArgumentError
        If there is no angle, one is not finite, or `detectors` is below 1.

    Notes
    -----
    The weights of one channel are stored as a sparse matrix, about 3 H W numbers an angle,
    twice: 0.1 GB for 180 angles of a 128 x 128 image in float32.
    """

    def __init__(
        self, angles: int | Sequence[float] | Array, dim_shape: Sequence[int], detectors: int | None = None
    ) -> None:
        channels, height, width = as_shape(dim_shape, "dim_shape", 3)
        self.angles = _angles(angles)
        diagonal = math.ceil(math.sqrt(2) * max(height, width))
        if detectors is not None and (not isinstance(detectors, Integral) or int(detectors) < 1):
            raise ArgumentError("detectors", detectors, "an integer >= 1")
        self.detectors = diagonal if detectors is None else int(detectors)
        super().__init__((channels, height, width), (channels, self.angles.size, self.detectors))
        parts = [_projection(angle, (height, width), self.detectors) for angle in np.deg2rad(self.angles)]
        self._matrix = SparseMatrix(vstack(parts, format="csr"))
        if self._matrix.host.nnz == 0:
            raise ArgumentError("detectors", detectors, "enough detectors to see the image")

    def _apply(self, x: Array) -> Array:
        return self._product(x, self.codim_shape, transpose=False)

    def _adjoint(self, y: Array) -> Array:
        return self._product(y, self.dim_shape, transpose=True)

    def _product(self, x: Array, shape: tuple[int, ...], *, transpose: bool) -> Array:
        xp, batch = namespace(x), tuple(x.shape)[:-2]
        flat = xp.reshape(x, (*batch, x.shape[-2] * x.shape[-1]))
        return xp.reshape(self._matrix.product(flat, transpose=transpose), (*batch, *shape[-2:]))

    def _lipschitz(self) -> tuple[float, str]:
        matrix = self._matrix.host
        bound = perron_bound(lambda v: matrix.T @ (matrix @ v), np.ones(matrix.shape[1]))
        return bound**0.5, "bound"

    def _options(self) -> dict[str, Any]:
        return {
            "angles": encode_array(self.angles),
            "dim_shape": list(self.dim_shape),
            "detectors": self.detectors,
        }


def _angles(angles: Any) -> np.ndarray:
    if isinstance(angles, Integral) and not isinstance(angles, bool):
        if angles < 1:
            raise ArgumentError("angles", angles, "an integer >= 1, or directions in degrees")
        return np.arange(int(angles)) * (180.0 / int(angles))
    host = decode_array(angles) if is_encoded_array(angles) else as_finite(angles, "angles")
    if host.ndim != 1:
        raise ArgumentError("angles", f"shape {host.shape}", "an integer >= 1, or one row of degrees")
    return host


def _projection(angle: float, size: tuple[int, int], detectors: int) -> csr_array:
    """Return the matrix from an image, flattened, to the detectors at one angle."""
    height, width = size
    across = np.arange(detectors) - detectors // 2
    s, t = np.meshgrid(across, across, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    column = cos * s + sin * t + width // 2
    row = -sin * s + cos * t + height // 2
    # What rounding puts next to a pixel's centre belongs on it: a quarter turn interpolates nothing.
    top, left = np.floor(np.round(row, 9)).astype(int), np.floor(np.round(column, 9)).astype(int)
    down, right = row - top, column - left
    rows, columns, weights = [], [], []
    for i, vertical in ((0, 1 - down), (1, down)):
        for j, horizontal in ((0, 1 - right), (1, right)):
            y, x, weight = top + i, left + j, vertical * horizontal
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (np.abs(weight) > 1e-12)
            rows.append(np.broadcast_to(s + detectors // 2, inside.shape)[inside])
            columns.append((y * width + x)[inside])
            weights.append(weight[inside])
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(entries, shape=(detectors, height * width))
