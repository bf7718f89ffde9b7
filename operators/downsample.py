"""Lowering the resolution, by means over blocks or by a blur and a choice of pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, copy, namespace
from ..errors import ArgumentError
from . import compiled_blocks
from .base import LinearOperator
from .blur import ROUNDING, Blur, schur_bound
from .boundaries import check_boundary
from .checks import as_pair, as_shape
from .registration import register_operator
from .separable import SeparableMatrices
from .threads import compilable


@register_operator("downsample")
class Downsample(LinearOperator):
    """Lower the resolution: means over blocks, or a blur and then every n-th pixel.

    Parameters
    ----------
    factor : int or (int, int)
        How many rows and columns become one; from 1 to the image's size.
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image.
    kernel : array or mapping, optional
        Blur before taking every n-th pixel, as in :class:`.Blur`. Default: the mean over
        blocks; where sizes do not divide, the last block is the mean of the pixels it
        has, as ``torch.nn.functional.avg_pool2d(..., ceil_mode=True)`` does.
    boundary : {"circular", "zero", "reflect", "replicate"}, optional
        Boundary rule of the blur; without a kernel it has no effect.
    offset : int or (int, int), optional
        First row and column taken after the blur, below `factor`.

    Raises
    ------
    ArgumentError
        If a factor is below 1 or above the image's size, or an argument of the blur is bad.

    Notes
    -----
    Blocks have closed forms always. With a kernel they exist for a circular boundary and
    sizes that the factor divides: A Aᵀ is then circulant on the coarse grid, its spectrum
    the mean of the aliases of |ĥ|² (Zhao, Wei, Basarab, Dobigeon, Kouamé and Tourneret,
    "Fast single image super-resolution using a new analytical solution for ℓ2–ℓ2
    problems", IEEE Trans. Image Process. 25, 2016). With another boundary rule they exist
    where the kernel is separable, by the two matrices of rows and of columns.
    """

    def __init__(
        self,
        factor: int | Sequence[int],
        dim_shape: Sequence[int],
        kernel: Array | Mapping[str, Any] | None = None,
        boundary: str = "circular",
        offset: int | Sequence[int] = 0,
    ) -> None:
        channels, height, width = as_shape(dim_shape, "dim_shape", 3)
        rows, columns = as_pair(factor, "factor")
        if rows > height or columns > width:
            raise ArgumentError("factor", factor, f"at most the image's size, {height} x {width}")
        self.factor = (rows, columns)
        self.offset = as_pair(offset, "offset", minimum=0)
        self.boundary = check_boundary(boundary)
        if kernel is None and any(self.offset):
            raise ArgumentError("offset", offset, "0 for means over blocks, which start at the first pixel")
        if self.offset[0] >= rows or self.offset[1] >= columns:
            raise ArgumentError("offset", offset, f"below the factor, {self.factor}")
        coarse = (math.ceil((height - self.offset[0]) / rows), math.ceil((width - self.offset[1]) / columns))
        super().__init__((channels, height, width), (channels, *coarse))
        self._blur = None if kernel is None else Blur(kernel, self.dim_shape, boundary)
        if self._blur is None:
            counts = [_block_sizes(n, f) for n, f in zip((height, width), self.factor, strict=True)]
            self._weights = HostArray(1.0 / np.outer(*counts)[None])
        elif self._circulant:
            self._spectrum = HostArray(self._folded_power())

    @property
    def kernel(self) -> np.ndarray | None:
        """The kernel of the blur, shape ``(1, kh, kw)`` or ``(C, kh, kw)``; None for means over blocks."""
        return None if self._blur is None else self._blur.kernel

    @property
    def divides(self) -> bool:
        """Whether the factor divides the image's sizes."""
        _, height, width = self.dim_shape
        return height % self.factor[0] == 0 and width % self.factor[1] == 0

    @property
    def has_closed_form(self) -> bool:
        """Whether A Aᵀ can be diagonalised.

        So it can for blocks, for a circular blur with sizes that divide, and for a separable blur with
        another boundary rule.
        """
        return self._blur is None or self._circulant or self._separable is not None

    @property
    def _circulant(self) -> bool:
        """Whether A Aᵀ is a circular convolution on the coarse grid."""
        return self._blur is not None and self.boundary == "circular" and self.divides

    @cached_property
    def _separable(self) -> SeparableMatrices | None:
        """The same map by one matrix for rows and one for columns, where its blur is separable."""
        blur = None if self._blur is None else self._blur._separable
        if blur is None:
            return None
        rows, columns = (
            matrix[first::step]
            for matrix, first, step in zip(blur.axis_matrices(), self.offset, self.factor, strict=True)
        )
        return SeparableMatrices(self.dim_shape[0], rows, columns)

    def _folded_power(self) -> np.ndarray:
        """Return the eigenvalues of A Aᵀ in the coarse grid's half spectrum."""
        assert self._blur is not None
        _, height, width = self.dim_shape
        kernel = self._blur.kernel
        placed = np.zeros((kernel.shape[0], height, width))
        placed[:, : kernel.shape[1], : kernel.shape[2]] = kernel
        power = np.abs(np.fft.fft2(placed)) ** 2
        (rows, columns), (_, h, w) = self.factor, self.codim_shape
        return power.reshape(-1, rows, h, columns, w).mean(axis=(1, 3))[..., : w // 2 + 1]

    def _apply(self, x: Array) -> Array:
        (rows, columns), (top, left) = self.factor, self.offset
        if self._blur is not None:
            # Copied, since a slice would keep the whole of the fine image alive.
            return copy(self._blur._apply(x)[..., top::rows, left::columns])
        xp = namespace(x)
        batch, (c, h, w) = tuple(x.shape)[:-3], self.codim_shape
        if self.divides and compilable(x):
            return compiled_blocks.block_means(x, self.factor)
        if not self.divides:
            whole = xp.zeros((*batch, c, h * rows, w * columns), dtype=x.dtype, device=x.device)
            whole[..., : x.shape[-2], : x.shape[-1]] = x
            x = whole
        blocks = xp.reshape(x, (*batch, c, h, rows, w, columns))
        return xp.sum(blocks, axis=(-3, -1)) * self._weights.like(x)

    def _adjoint(self, y: Array) -> Array:
        xp = namespace(y)
        (rows, columns), (top, left) = self.factor, self.offset
        batch, (c, height, width) = tuple(y.shape)[:-3], self.dim_shape
        if self._blur is not None:
            fine = xp.zeros((*batch, c, height, width), dtype=y.dtype, device=y.device)
            fine[..., top::rows, left::columns] = y
            return self._blur._adjoint(fine)
        if self.divides and compilable(y):
            return compiled_blocks.block_spread(y, self.factor)
        h, w = self.codim_shape[1:]
        shares = xp.reshape(y * self._weights.like(y), (*batch, c, h, 1, w, 1))
        spread = shares + xp.zeros((rows, 1, columns), dtype=y.dtype, device=y.device)
        whole = xp.reshape(spread, (*batch, c, h * rows, w * columns))
        return whole if self.divides else copy(whole[..., :height, :width])

    def _gram(self, x: Array) -> Array:
        if self._blur is None and self.divides and compilable(x):
            return compiled_blocks.block_gram(x, self.factor)
        return super()._gram(x)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        if self._blur is None:
            return f(self._weights.like(y)) * y
        if self._separable is not None:
            return self._separable._cogram_function(f, y)
        fft, size = namespace(y).fft, self.codim_shape[1:]
        transformed = fft.rfftn(y, s=size, axes=(-2, -1))
        return fft.irfftn(transformed * f(self._spectrum.like(y)), s=size, axes=(-2, -1))

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        if self._separable is not None:
            return self._separable._adjoint_cogram_function(f, y)
        return super()._adjoint_cogram_function(f, y)

    def _lipschitz(self) -> tuple[float, str]:
        if self._blur is None:
            return float(np.sqrt(np.max(self._weights.host))), "exact"
        if self._circulant:
            return float(np.sqrt(np.max(self._spectrum.host))), "exact"
        absolute = Downsample(
            self.factor, self.dim_shape, np.abs(self._blur.kernel), self.boundary, self.offset
        )
        bound = schur_bound(self, absolute) * ROUNDING
        # Leaving pixels out has norm one, so the blur's own bound holds as well.
        return min(bound, self._blur.lipschitz * ROUNDING), "bound"

    def _options(self) -> dict[str, Any]:
        return {
            "factor": list(self.factor),
            "dim_shape": list(self.dim_shape),
            "kernel": None if self._blur is None else self._blur._options()["kernel"],
            "boundary": self.boundary,
            "offset": list(self.offset),
        }


def _block_sizes(length: int, factor: int) -> np.ndarray:
    """Return how many pixels each block has along one axis."""
    starts = np.arange(0, length, factor)
    return np.minimum(starts + factor, length) - starts
