"""What operators have in common that multiply every pixel by a number of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, is_torch
from ..errors import ArgumentError
from . import torch_fast
from .base import LinearOperator


class Diagonal(LinearOperator):
    """Multiply by weights, shared by all images or one set per image; a base class.

    Parameters
    ----------
    weights : numpy.ndarray
        float64, finite: at most three axes that broadcast to `dim_shape`, or four, of which
        the first counts the images.
    dim_shape : (int, int, int) or None
        Shape ``(C, H, W)`` of one image; ``None`` for the weights' own last three axes.
    argument : str
        What the weights are called in error messages.

    Raises
    ------
    ArgumentError
        If the weights do not fit the images.
    """

    def __init__(self, weights: np.ndarray, dim_shape: tuple[int, ...] | None, argument: str) -> None:
        shape = dim_shape
        if shape is None:
            if weights.ndim not in (3, 4):
                accepted = f"a shape (C, H, W), as the {argument} has {weights.ndim} axes"
                raise ArgumentError("dim_shape", None, accepted)
            shape = weights.shape[-3:]
        if weights.ndim > 4 or not _broadcasts(weights.shape[-3:], shape):
            accepted = f"a shape that broadcasts to {shape}, or (N, ...) of that for N images"
            raise ArgumentError(argument, f"shape {weights.shape}", accepted)
        super().__init__(shape, shape, n_images=weights.shape[0] if weights.ndim == 4 else None)
        # At least three axes, so that eigenvalues have the axes of a measurement.
        self._weights = HostArray(weights.reshape((1,) * (3 - weights.ndim) + weights.shape))
        self._square = HostArray(self._weights.host**2)

    @property
    def has_closed_form(self) -> bool:
        """True: A Aᵀ is diagonal."""
        return True

    def _apply(self, x: Array) -> Array:
        return _times(x, self._weights)

    def _adjoint(self, y: Array) -> Array:
        return self._apply(y)

    def _gram(self, x: Array) -> Array:
        return _times(x, self._square)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        return f(self._square.like(y)) * y

    def _lipschitz(self) -> tuple[float, str]:
        return float(np.max(np.abs(self._weights.host))), "exact"


def _times(x: Array, weights: HostArray) -> Array:
    if is_torch(x) and torch_fast.is_huge(x) and torch_fast.usable(x):
        return torch_fast.multiply(x, weights.like(x))
    return x * weights.like(x)


def _broadcasts(shape: Sequence[int], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(tuple(shape), target) == target
    except ValueError:
        return False
