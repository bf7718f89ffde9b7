"""Gaussian random projections (compressive sensing), with a matrix that is never stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, from_host, namespace
from ..errors import ArgumentError
from .base import LinearOperator
from .checks import as_number, as_shape
from .registration import register_operator

COLUMNS = 64
"""Columns of the matrix that are made at a time; they are part of what a seed means."""

CLOSED_FORM_LIMIT = 1024
"""Measurements up to which A Aᵀ, a full matrix of that size, is decomposed without being asked."""


@register_operator("random_projection")
class RandomProjection(LinearOperator):
    """Inner products of an image with random images (compressive sensing).

    The matrix has independent Gaussian entries, drawn in blocks of 64 columns from a
    counter-based generator, so that block b depends on the seed, m and b alone. Blocks are
    made anew whenever they are needed and are the same in every library and precision.

    Parameters
    ----------
    m : int
        Number of measurements of one image, >= 1.
    dim_shape : tuple of int
        Shape of one image.
    seed : int, optional
        Seed, >= 0 and below 2**64.
    variance : float, optional
        Variance of the entries, > 0. Default: 1/m, as in Asim, Daniels, Leong, Ahmed and
        Hand, "Invertible generative models for inverse problems", ICML 2020.
    keep : bool, optional
        Keep the blocks once made, which takes 4 m n bytes on each device: faster where
        there is room. Default: do not.
    decompose : bool, optional
        Decompose A Aᵀ when first needed, for closed forms of `pinv`, `prox_l2` and the like,
        which iterate without: 8 m² bytes, and a time that grows with m³ (about 10 seconds for
        m = 2500 on one core). Default: up to 1024 measurements.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Notes
    -----
    Where A Aᵀ is not decomposed, `lipschitz` is the limit of the norm for large matrices,
    sqrt(variance) (sqrt(m) + sqrt(n)) (Marchenko and Pastur; Geman, "A limit theorem for the
    norm of random matrices", Ann. Probab. 8, 1980), an estimate good to about a per cent.
    """

    def __init__(
        self,
        m: int,
        dim_shape: Sequence[int],
        seed: int = 0,
        variance: float | None = None,
        keep: bool = False,
        decompose: bool | None = None,
    ) -> None:
        for argument, value, least in (("m", m, 1), ("seed", seed, 0)):
            if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value < 2**64:
                raise ArgumentError(argument, value, f"an integer >= {least} and below 2**64")
        super().__init__(as_shape(dim_shape, "dim_shape"), (int(m),))
        if decompose is not None and not isinstance(decompose, bool):
            raise ArgumentError("decompose", decompose, "True, False or None")
        self.seed, self.keep, self.decompose = int(seed), bool(keep), decompose
        self.variance = 1 / int(m) if variance is None else as_number(variance, "variance")
        self._n = math.prod(self.dim_shape)
        self._kept: dict[int, HostArray] = {}
        self._eigen: tuple[HostArray, HostArray] | None = None

    @property
    def has_closed_form(self) -> bool:
        """Whether A Aᵀ is decomposed."""
        return self.codim_shape[0] <= CLOSED_FORM_LIMIT if self.decompose is None else self.decompose

    def block(self, number: int) -> np.ndarray:
        """Return some columns of the matrix, transposed, before they are scaled.

        Parameters
        ----------
        number : int
            Which block: columns from 64 `number` on.

        Returns
        -------
        numpy.ndarray
            float32, variance 1, shape ``(64 or what is left, m)``.
        """
        # The last word of the counter tells the blocks apart; a block uses the first alone.
        bits = np.random.Philox(key=self.seed, counter=[0, 0, 0, number])
        columns = min(COLUMNS, self._n - COLUMNS * number)
        return np.random.Generator(bits).standard_normal((columns, self.codim_shape[0]), dtype=np.float32)

    def _blocks(self, like: Array) -> Iterator[tuple[int, Array]]:
        """Return where each block starts and the block, in the library of `like`."""
        for number in range(-(-self._n // COLUMNS)):
            if not self.keep:
                yield number * COLUMNS, from_host(self.block(number), like)
                continue
            if number not in self._kept:
                self._kept[number] = HostArray(self.block(number))
            yield number * COLUMNS, self._kept[number].like(like)

    def _apply(self, x: Array) -> Array:
        xp, batch = namespace(x), tuple(x.shape)[: x.ndim - len(self.dim_shape)]
        flat = xp.reshape(x, (*batch, self._n))
        total = xp.zeros((*batch, *self.codim_shape), dtype=x.dtype, device=x.device)
        for start, block in self._blocks(x):
            total = total + xp.matmul(flat[..., start : start + block.shape[0]], block)
        return total * math.sqrt(self.variance)

    def _adjoint(self, y: Array) -> Array:
        xp, batch = namespace(y), tuple(y.shape)[:-1]
        parts = [xp.matmul(y, xp.matrix_transpose(block)) for _, block in self._blocks(y)]
        flat = xp.concat(parts, axis=-1) * math.sqrt(self.variance)
        return xp.reshape(flat, (*batch, *self.dim_shape))

    def _eigenvectors(self) -> tuple[HostArray, HostArray]:
        """Return eigenvalues and eigenvectors of A Aᵀ."""
        if self._eigen is None:
            m = self.codim_shape[0]
            matrix = np.zeros((m, m))
            for _, block in self._blocks(matrix):
                matrix += block.T @ block
            values, vectors = np.linalg.eigh(matrix * self.variance)
            # With more measurements than pixels, what should be 0 comes out as rounding.
            values[values < 1e-13 * m * values[-1]] = 0.0
            self._eigen = HostArray(values), HostArray(vectors)
        return self._eigen

    def _cogram_function(self, f: Any, y: Array) -> Array:
        values, vectors = self._eigenvectors()
        xp, v = namespace(y), vectors.like(y)
        return xp.matmul(f(values.like(y)) * xp.matmul(y, v), xp.matrix_transpose(v))

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        # What Aᵀ does not see is left out, so that a large f(0) does not round into the rest.
        def seen(e: Array) -> Array:
            xp = namespace(e)
            return xp.where(e > 0, f(e), xp.zeros_like(e))

        return self.adjoint(self._cogram_function(seen, y))

    def _lipschitz(self) -> tuple[float, str]:
        if self.has_closed_form:
            return float(np.sqrt(np.max(self._eigenvectors()[0].host))), "exact"
        limit = math.sqrt(self.codim_shape[0]) + math.sqrt(self._n)
        return math.sqrt(self.variance) * limit, "estimate"

    def _options(self) -> dict[str, Any]:
        return {
            "m": self.codim_shape[0],
            "dim_shape": list(self.dim_shape),
            "seed": self.seed,
            "variance": self.variance,
            "keep": self.keep,
            "decompose": self.decompose,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_eigen": None}
