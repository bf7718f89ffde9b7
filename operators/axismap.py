"""Linear maps along one axis of an image, as small matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, HostArray, namespace

TERMS_WORTH = 64
"""A matrix is multiplied whole where a row has more than one non-zero number in so many."""


class AxisMap:
    """Multiplication of the rows or columns of images by a matrix, or by its transpose.

    Small or full matrices are multiplied as they are; of large banded ones only the numbers
    that are not zero are stored on a device and multiplied.

    Parameters
    ----------
    matrix : numpy.ndarray
        Shape ``(m, n)``, float64.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = np.array(matrix, dtype=np.float64)
        self._forward, self._transposed = _product(self.matrix), _product(self.matrix.T)

    def forward(self, x: Array, axis: int) -> Array:
        """Return the matrix times `x` along `axis`, which is -1 or -2 and of length n."""
        return self._forward(x, axis)

    def transpose(self, y: Array, axis: int) -> Array:
        """Return the transposed matrix times `y` along `axis`, which is -1 or -2 and of length m."""
        return self._transposed(y, axis)


def _product(matrix: np.ndarray) -> Any:
    terms = int(np.max(np.count_nonzero(matrix, axis=1)))
    return _Dense(matrix) if matrix.shape[1] <= TERMS_WORTH * terms else _Banded(matrix, terms)


class _Dense:
    def __init__(self, matrix: np.ndarray) -> None:
        self._left, self._right = HostArray(matrix), HostArray(matrix.T)

    def __call__(self, x: Array, axis: int) -> Array:
        xp = namespace(x)
        return xp.matmul(x, self._right.like(x)) if axis == -1 else xp.matmul(self._left.like(x), x)


class _Banded:
    def __init__(self, matrix: np.ndarray, terms: int) -> None:
        # The non-zero numbers of each row first, in order; shorter rows are filled up with zeros.
        places = np.argsort(matrix == 0, axis=1, kind="stable")[:, :terms]
        weights = np.take_along_axis(matrix, places, axis=1)
        self._places = [HostArray(column, integer=True) for column in places.T]
        self._weights = [HostArray(column) for column in weights.T]

    def __call__(self, x: Array, axis: int) -> Array:
        xp = namespace(x)
        total = None
        for places, weights in zip(self._places, self._weights, strict=True):
            weight = weights.like(x)
            term = xp.take(x, places.like(x), axis=axis) * (weight if axis == -1 else weight[:, None])
            total = term if total is None else total + term
        return total
