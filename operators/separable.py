"""What operators have in common that treat rows and columns apart: A = R ⊗ C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, HostArray, namespace
from .base import LinearOperator


class Factors(NamedTuple):
    """Singular vectors and values of the two axis matrices.

    Attributes
    ----------
    left : (HostArray, HostArray)
        All left singular vectors of R, shape ``(h, h)``, and of C, ``(w, w)``.
    right : (HostArray, HostArray)
        The right ones that belong to them, shape ``(H, min(h, H))`` and ``(W, min(w, W))``.
    eigenvalues : HostArray
        Of A Aᵀ, shape ``(1, h, w)``.
    singular : HostArray
        Singular values of A that have right vectors, shape ``(min(h, H), min(w, W))``.
    """

    left: tuple[HostArray, HostArray]
    right: tuple[HostArray, HostArray]
    eigenvalues: HostArray
    singular: HostArray


class Separable(LinearOperator):
    """A map of images x to R x Cᵀ, channel by channel; a base class.

    A Aᵀ = (R Rᵀ) ⊗ (C Cᵀ), so the singular vectors of the two small matrices diagonalise it
    whatever the boundary rule. They are computed when first needed (some seconds for a side
    of several thousand pixels) and multiplied as full matrices.

    A subclass implements :meth:`axis_matrices`, ``_apply`` and ``_adjoint``.
    """

    def __init__(self, dim_shape: Sequence[int], codim_shape: Sequence[int]) -> None:
        super().__init__(dim_shape, codim_shape)
        self._factors: Factors | None = None

    def axis_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return R, shape ``(h, H)``, and C, shape ``(w, W)``, float64."""
        raise NotImplementedError

    @property
    def has_closed_form(self) -> bool:
        """True: see the class."""
        return True

    def factors(self) -> Factors:
        """Return the singular value decompositions of the two matrices; kept, not pickled."""
        if self._factors is None:
            rows, columns = (np.linalg.svd(m) for m in self.axis_matrices())
            heights, widths = ((d[0].shape[0], d[1].size) for d in (rows, columns))
            values = [np.pad(d[1], (0, d[0].shape[0] - d[1].size)) for d in (rows, columns)]
            self._factors = Factors(
                (HostArray(rows[0]), HostArray(columns[0])),
                (HostArray(rows[2][: heights[1]].T), HostArray(columns[2][: widths[1]].T)),
                HostArray(np.outer(*values)[None] ** 2),
                HostArray(np.outer(rows[1], columns[1])),
            )
        return self._factors

    def _spectral(self, y: Array) -> Array:
        """Return the coordinates of a measurement in the left singular vectors."""
        left, xp = self.factors().left, namespace(y)
        rows, columns = left[0].like(y), left[1].like(y)
        return xp.matmul(xp.matmul(xp.matrix_transpose(rows), y), columns)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        factors, xp = self.factors(), namespace(y)
        scaled = f(factors.eigenvalues.like(y)) * self._spectral(y)
        rows, columns = factors.left[0].like(y), factors.left[1].like(y)
        return xp.matmul(xp.matmul(rows, scaled), xp.matrix_transpose(columns))

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        # By the right singular vectors: Aᵀ after f(A Aᵀ) would not undo its rounding where f is large.
        factors, xp = self.factors(), namespace(y)
        singular = factors.singular.like(y)
        h, w = tuple(singular.shape)
        scaled = (f(factors.eigenvalues.like(y)) * self._spectral(y))[..., :h, :w] * singular
        rows, columns = factors.right[0].like(y), factors.right[1].like(y)
        return xp.matmul(xp.matmul(rows, scaled), xp.matrix_transpose(columns))

    def _lipschitz(self) -> tuple[float, str]:
        return float(self.factors().singular.host[0, 0]), "exact"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_factors": None}


class SeparableMatrices(Separable):
    """R x Cᵀ by two dense matrices; what gives another operator its closed forms.

    Parameters
    ----------
    channels : int
        Channels of the images.
    rows, columns : numpy.ndarray
        R, shape ``(h, H)``, and C, shape ``(w, W)``, float64.
    """

    def __init__(self, channels: int, rows: np.ndarray, columns: np.ndarray) -> None:
        super().__init__(
            (channels, rows.shape[1], columns.shape[1]), (channels, rows.shape[0], columns.shape[0])
        )
        self._matrices = HostArray(rows), HostArray(columns)

    def axis_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the two matrices."""
        return self._matrices[0].host, self._matrices[1].host

    def _apply(self, x: Array) -> Array:
        rows, columns = (matrix.like(x) for matrix in self._matrices)
        xp = namespace(x)
        return xp.matmul(xp.matmul(rows, x), xp.matrix_transpose(columns))

    def _adjoint(self, y: Array) -> Array:
        rows, columns = (matrix.like(y) for matrix in self._matrices)
        xp = namespace(y)
        return xp.matmul(xp.matmul(xp.matrix_transpose(rows), y), columns)
