"""Convolution of images under a boundary rule: what blurs of all kinds are made of.

By FFT on every array library; on torch tensors in CPU memory small kernels are applied
directly where that is measured to be faster (:mod:`.direct_filter`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.fft import next_fast_len
from scipy.signal import convolve

from ..arrays import Array, HostArray, namespace
from ..errors import ArgumentError
from . import torch_fast
from .boundaries import check_boundary, pad, pad_adjoint
from .direct_filter import DirectFilter
from .threads import compilable


class Convolution:
    """Convolution of planes with kernels, and its adjoint.

    The kernel's centre is its pixel ``(kh // 2, kw // 2)``.

    Parameters
    ----------
    kernels : numpy.ndarray
        Shape ``(1 or C, kh, kw)``, float64.
    size : (int, int)
        Height and width of the images.
    boundary : {"circular", "zero", "reflect", "replicate"}
        What lies beyond the edge.

    Raises
    ------
    ArgumentError
        If a kernel is larger than the image, or the boundary is unknown.

    Notes
    -----
    Other boundaries than circular extend the image first, then convolve by an FFT of a
    size with small prime factors, and cut the result to size.
    """

    def __init__(self, kernels: np.ndarray, size: Sequence[int], boundary: str) -> None:
        rows, columns = kernels.shape[-2:]
        if rows > size[0] or columns > size[1]:
            raise ArgumentError(
                "kernel", f"size {rows} x {columns}", f"at most the image's size, {size[0]} x {size[1]}"
            )
        self.kernels, self.boundary = kernels, check_boundary(boundary)
        self.size = (int(size[0]), int(size[1]))
        self._plan()
        self._direct = _Direct(kernels, self.size, boundary)

    def _plan(self) -> None:
        """Choose the extension, the FFT size and the kernel's place, for rows and columns."""
        sides = []
        for n, k in zip(self.size, self.kernels.shape[1:], strict=True):
            centre = k // 2
            before, after = k - 1 - centre, centre
            if self.boundary == "circular":
                sides.append((n, centre, (0, 0)))
            elif self.boundary == "zero":
                # The FFT's own zero padding is the extension.
                sides.append((next_fast_len(n + max(before, after), real=True), centre, (0, 0)))
            else:
                # Rolled so that the part free of wrap-around starts at index 0.
                sides.append((next_fast_len(n + k - 1, real=True), k - 1, (before, after)))
        (rows, row_roll, self.pad_rows), (columns, column_roll, self.pad_columns) = sides
        self._shape = (rows, columns)
        placed = np.zeros((self.kernels.shape[0], rows, columns))
        placed[:, : self.kernels.shape[1], : self.kernels.shape[2]] = self.kernels
        placed = np.roll(placed, (-row_roll, -column_roll), axis=(1, 2))
        spectrum = np.fft.rfft2(placed)
        self.spectrum, self._conjugate = HostArray(spectrum), HostArray(spectrum.conj())
        self.power = HostArray(np.abs(spectrum) ** 2)

    def filter(self, x: Array, spectrum: Array) -> Array:
        """Return x filtered by a half spectrum of the planned size; differentiable on torch."""
        fft = namespace(x).fft
        transformed = fft.rfftn(x, s=self._shape, axes=(-2, -1))
        return fft.irfftn(transformed * spectrum, s=self._shape, axes=(-2, -1))

    def _filter_raw(self, x: Array, spectrum: HostArray) -> Array:
        """Return the same as :meth:`filter`, for the explicit maps that are not differentiated."""
        if torch_fast.usable(x):
            return torch_fast.filter_planes(x, spectrum.like(x), self._shape)
        return self.filter(x, spectrum.like(x))

    def apply(self, x: Array) -> Array:
        """Return the convolution of images ``(..., C, H, W)``, of the same shape."""
        direct = self._direct.forward(x)
        if direct is not None:
            return direct(x)
        extended = pad(x, self.pad_rows, self.pad_columns, self.boundary)
        return _crop(self._filter_raw(extended, self.spectrum), *self.size)

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of :meth:`apply`."""
        direct = self._direct.adjoint(y)
        if direct is not None:
            spread = direct(y)
        else:
            height, width = self.size[0] + sum(self.pad_rows), self.size[1] + sum(self.pad_columns)
            spread = _crop(self._filter_raw(y, self._conjugate), height, width)
        return pad_adjoint(spread, self.pad_rows, self.pad_columns, self.boundary)

    def gram(self, x: Array) -> Array:
        """Return the adjoint of the convolution of `x`; for a circular boundary in one go."""
        if self.boundary != "circular":
            return self.adjoint(self.apply(x))
        direct = self._direct.gram(x)
        return direct(x) if direct is not None else self._filter_raw(x, self.power)


def _crop(x: Array, height: int, width: int) -> Array:
    """Return the upper left part; `x` itself where that is all of it."""
    return x if tuple(x.shape)[-2:] == (height, width) else x[..., :height, :width]


class _Direct:
    """The direct filters of a convolution, each made when it is first wanted."""

    def __init__(self, kernels: np.ndarray, size: tuple[int, int], boundary: str) -> None:
        self._kernels, self._size, self._boundary = kernels, size, boundary
        self._made: dict[str, Any] = {}

    def _get(self, which: str, x: Array) -> DirectFilter | None:
        if not compilable(x):
            return None
        if which not in self._made:
            self._made[which] = self._choose(which)
        return self._made[which]

    def _choose(self, which: str) -> DirectFilter | None:
        pixels = self._size[0] * self._size[1]
        # The fewest passes a kernel of this size can take: what is hopeless is not factorised.
        fewest = min(sum(self._kernels.shape[1:]), int(np.count_nonzero(self._kernels[0])))
        if not torch_fast.prefers_direct(fewest, pixels):
            return None
        made = getattr(self, f"_make_{which}")()
        return made if made is not None and torch_fast.prefers_direct(made.passes, pixels) else None

    def forward(self, x: Array) -> DirectFilter | None:
        """Return the filter of the convolution, or ``None`` where the FFT is to be used."""
        return self._get("forward", x)

    def adjoint(self, x: Array) -> DirectFilter | None:
        """Return the filter of the adjoint, before the extension is folded back."""
        return self._get("adjoint", x)

    def gram(self, x: Array) -> DirectFilter | None:
        """Return the filter of the adjoint of the convolution, for a circular boundary."""
        return self._get("gram", x)

    def _make_forward(self) -> DirectFilter:
        rows, columns = ((k - 1 - k // 2, k // 2) for k in self._kernels.shape[1:])
        return DirectFilter(self._kernels[:, ::-1, ::-1], rows, columns, self._boundary)

    def _make_adjoint(self) -> DirectFilter:
        if self._boundary in ("circular", "zero"):
            rows, columns = ((k // 2, k - 1 - k // 2) for k in self._kernels.shape[1:])
            return DirectFilter(self._kernels, rows, columns, self._boundary)
        # Onto the extended image, which pad_adjoint folds back.
        rows, columns = ((k - 1, k - 1) for k in self._kernels.shape[1:])
        return DirectFilter(self._kernels, rows, columns, "zero")

    def _make_gram(self) -> DirectFilter | None:
        reach = [k - 1 for k in self._kernels.shape[1:]]
        if any(2 * r + 1 > n for r, n in zip(reach, self._size, strict=True)):
            return None
        squared = np.stack([convolve(k, k[::-1, ::-1], method="direct") for k in self._kernels])
        rows, columns = ((r, r) for r in reach)
        return DirectFilter(squared, rows, columns, "circular")
