"""Blur by one kernel along rows and one along columns, with closed forms for every boundary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ArgumentError
from .checks import as_finite, as_shape
from .config import decode_array, encode_array, is_encoded_array
from .convolution import Convolution
from .registration import register_operator
from .separable import Separable


@register_operator("separable_blur")
class SeparableBlur(Separable):
    """Blur along columns and along rows, each with its own kernel.

    The same map as :class:`.Blur` with the kernel ``outer(rows, columns)``, but with closed
    forms under every boundary rule, where :class:`.Blur` has them for ``"circular"`` only.

    Parameters
    ----------
    rows : array
        Kernel from row to row (vertical), shape ``(kh,)``.
    columns : array
        Kernel from column to column (horizontal), shape ``(kw,)``.
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image.
    boundary : {"circular", "zero", "reflect", "replicate"}, optional
        What lies beyond the edge, by torch's names.

    Raises
    ------
    ArgumentError
        If a kernel is longer than the image's side, not finite, or all zero; or the boundary
        is unknown.
    """

    def __init__(self, rows: Array, columns: Array, dim_shape: Sequence[int], boundary: str = "zero") -> None:
        shape = as_shape(dim_shape, "dim_shape", 3)
        super().__init__(shape, shape)
        self.rows, self.columns = _profile(rows, "rows"), _profile(columns, "columns")
        for name, profile, side in (("rows", self.rows, shape[1]), ("columns", self.columns, shape[2])):
            if profile.size > side:
                raise ArgumentError(name, f"{profile.size} numbers", f"at most the image's side, {side}")
        self.boundary = boundary
        self._convolution = Convolution(np.outer(self.rows, self.columns)[None], shape[1:], boundary)

    def axis_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrices of the blur along each axis."""
        return self._axis_matrix(0), self._axis_matrix(1)

    def _axis_matrix(self, axis: int) -> np.ndarray:
        side, kernel = self.dim_shape[1 + axis], (self.rows, self.columns)[axis]
        line = Convolution(kernel[None, :, None], (side, 1), self.boundary)
        return line.apply(np.eye(side)[:, :, None])[..., 0].T

    def _apply(self, x: Array) -> Array:
        return self._convolution.apply(x)

    def _adjoint(self, y: Array) -> Array:
        return self._convolution.adjoint(y)

    def _gram(self, x: Array) -> Array:
        return self._convolution.gram(x)

    def _options(self) -> dict[str, Any]:
        return {
            "rows": encode_array(self.rows),
            "columns": encode_array(self.columns),
            "dim_shape": list(self.dim_shape),
            "boundary": self.boundary,
        }


def _profile(value: Any, argument: str) -> np.ndarray:
    host = decode_array(value) if is_encoded_array(value) else as_finite(value, argument)
    if host.ndim != 1 or not host.any():
        given = f"shape {host.shape}" if host.ndim != 1 else "a kernel of zeros"
        raise ArgumentError(argument, given, "one row of numbers, not all 0")
    return host
