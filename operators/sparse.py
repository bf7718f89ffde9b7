"""Products with a sparse matrix in every array library."""

from __future__ import annotations

import warnings
from typing import Any

import array_api_compat
import numpy as np
from scipy.sparse import csr_array

from ..arrays import Array, dtype_name, from_host, is_torch, namespace, to_numpy


class SparseMatrix:
    """A sparse matrix and its transpose, kept on the host and lent to each library once.

    NumPy multiplies by SciPy, torch and CuPy by their own compressed sparse rows; any other
    library goes through the host.

    Parameters
    ----------
    matrix : scipy.sparse array
        Shape ``(m, n)``, float64.
    """

    def __init__(self, matrix: Any) -> None:
        self.host = csr_array(matrix)
        self._cache: dict[tuple[Any, ...], Any] = {}

    def product(self, x: Array, *, transpose: bool = False) -> Array:
        """Return the matrix, or its transpose, times each of a batch of vectors.

        Parameters
        ----------
        x : array
            Shape ``(..., n)``, or ``(..., m)`` for the transpose; float32 or float64.
        transpose : bool, optional
            Whether to multiply by the transpose.

        Returns
        -------
        array
            Shape ``(..., m)`` or ``(..., n)``; library, dtype and device of `x`.
        """
        xp, batch = namespace(x), tuple(x.shape)[:-1]
        columns = xp.matrix_transpose(xp.reshape(x, (-1, x.shape[-1])))
        if is_torch(x) or isinstance(x, np.ndarray) or array_api_compat.is_cupy_array(x):
            result = self._like(x, transpose) @ columns
        else:
            result = from_host(self._on_host(np.float64, transpose) @ to_numpy(columns), x)
        return xp.reshape(xp.matrix_transpose(result), (*batch, result.shape[0]))

    def _on_host(self, dtype: Any, transpose: bool) -> Any:
        matrix = self.host.astype(dtype)
        return matrix.T.tocsr() if transpose else matrix

    def _like(self, x: Array, transpose: bool) -> Any:
        key = (
            type(x).__module__,
            dtype_name(x),
            str(x.device) if not isinstance(x, np.ndarray) else "",
            transpose,
        )
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._convert(x, transpose)
        return found

    def _convert(self, x: Array, transpose: bool) -> Any:
        matrix = self._on_host(dtype_name(x), transpose)
        if isinstance(x, np.ndarray):
            return matrix
        if is_torch(x):
            import torch

            with warnings.catch_warnings(), torch.inference_mode(False):
                # torch says at each first use that sparse rows are new.
                warnings.simplefilter("ignore", UserWarning)
                return torch.sparse_csr_tensor(
                    torch.from_numpy(matrix.indptr.astype(np.int64)),
                    torch.from_numpy(matrix.indices.astype(np.int64)),
                    torch.from_numpy(matrix.data),
                    size=matrix.shape,
                    device=x.device,
                )
        from cupyx.scipy.sparse import csr_matrix

        with x.device:
            return csr_matrix(matrix)

    def __getstate__(self) -> dict[str, Any]:
        return {"host": self.host, "_cache": {}}
