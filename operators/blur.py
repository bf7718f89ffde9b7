"""Convolution with a kernel, computed by FFT for every boundary rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.fft import next_fast_len

from ..arrays import Array, HostArray, namespace
from ..errors import ArgumentError
from . import kernels
from .base import LinearOperator
from .boundaries import check_boundary, pad, pad_adjoint
from .checks import as_shape
from .config import encode_array
from .registration import register_operator

ROUNDING = 1.0 + 1e-12
"""Bounds are raised by this, so that they hold although they were computed in float64."""


@register_operator("blur")
class Blur(LinearOperator):
    """Blur with a kernel (convolution), under four boundary rules.

    A true convolution whose centre is the kernel's pixel ``(kh // 2, kw // 2)``, as in
    :func:`scipy.ndimage.convolve`. Measurements have the images' shape.

    Parameters
    ----------
    kernel : array or mapping
        Shape ``(kh, kw)``, or ``(C, kh, kw)`` for one kernel per channel; or a recipe such
        as ``{"uniform": {"size": 7}}`` (see :mod:`.kernels`).
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image.
    boundary : {"circular", "zero", "reflect", "replicate"}, optional
        What lies beyond the edge, by torch's names. Only ``"circular"`` has closed forms.

    Raises
    ------
    ArgumentError
        If the kernel is larger than the image, not finite, or all zero; or the boundary is
        unknown.

    Notes
    -----
    Other boundaries than circular extend the image first, then convolve by an FFT of a
    size with small prime factors, and cut the result to size.
    """

    def __init__(
        self, kernel: Array | Mapping[str, Any], dim_shape: Sequence[int], boundary: str = "circular"
    ) -> None:
        shape = as_shape(dim_shape, "dim_shape", 3)
        super().__init__(shape, shape)
        host, self._recipe = kernels.resolve(kernel)
        self._kernel = HostArray(host if host.ndim == 3 else host[None])
        self.boundary = check_boundary(boundary)
        self._check_kernel(host)
        self._plan()

    @classmethod
    def uniform(cls, size: int | Sequence[int], dim_shape: Sequence[int], boundary: str = "circular") -> Blur:
        """Return the blur by a mean over `size` pixels (an int, or rows and columns)."""
        return cls({"uniform": {"size": _plain(size)}}, dim_shape, boundary)

    @classmethod
    def gaussian(
        cls,
        std: float | Sequence[float],
        dim_shape: Sequence[int],
        size: int | Sequence[int] | None = None,
        boundary: str = "circular",
    ) -> Blur:
        """Return the blur by a Gaussian of standard deviation `std`; see :func:`.kernels.gaussian`."""
        return cls({"gaussian": {"std": _plain(std), "size": _plain(size)}}, dim_shape, boundary)

    @classmethod
    def motion(
        cls, length: float, angle: float, dim_shape: Sequence[int], boundary: str = "circular"
    ) -> Blur:
        """Return the blur by a motion of `length` pixels at `angle` degrees; see :func:`.kernels.motion`."""
        return cls({"motion": {"length": length, "angle": angle}}, dim_shape, boundary)

    @property
    def kernel(self) -> np.ndarray:
        """The kernel, shape ``(1, kh, kw)`` or ``(C, kh, kw)``, float64, read-only."""
        return self._kernel.host

    @property
    def has_closed_form(self) -> bool:
        """Whether the boundary is circular, so that the FFT diagonalises A Aᵀ."""
        return self.boundary == "circular"

    def _check_kernel(self, host: np.ndarray) -> None:
        channels, height, width = self.dim_shape
        if host.ndim == 3 and host.shape[0] not in (1, channels):
            raise ArgumentError("kernel", f"{host.shape[0]} kernels", f"one, or one per channel ({channels})")
        rows, columns = host.shape[-2:]
        if rows > height or columns > width:
            raise ArgumentError(
                "kernel", f"size {rows} x {columns}", f"at most the image's size, {height} x {width}"
            )

    def _plan(self) -> None:
        """Choose the extension, the FFT size and the kernel's place, for rows and columns."""
        sides = []
        for n, k in zip(self.dim_shape[1:], self.kernel.shape[1:], strict=True):
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
        (rows, row_roll, self._pad_rows), (columns, column_roll, self._pad_columns) = sides
        self._size = (rows, columns)
        placed = np.zeros((self.kernel.shape[0], rows, columns))
        placed[:, : self.kernel.shape[1], : self.kernel.shape[2]] = self.kernel
        placed = np.roll(placed, (-row_roll, -column_roll), axis=(1, 2))
        self._spectrum = HostArray(np.fft.rfft2(placed))
        self._power = HostArray(np.abs(self._spectrum.host) ** 2)

    def _filter(self, x: Array, spectrum: Array) -> Array:
        fft = namespace(x).fft
        transformed = fft.rfftn(x, s=self._size, axes=(-2, -1))
        return fft.irfftn(transformed * spectrum, s=self._size, axes=(-2, -1))

    def _apply(self, x: Array) -> Array:
        _, height, width = self.dim_shape
        extended = pad(x, self._pad_rows, self._pad_columns, self.boundary)
        return self._filter(extended, self._spectrum.like(x))[..., :height, :width]

    def _adjoint(self, y: Array) -> Array:
        _, height, width = self.dim_shape
        height, width = height + sum(self._pad_rows), width + sum(self._pad_columns)
        spread = self._filter(y, namespace(y).conj(self._spectrum.like(y)))[..., :height, :width]
        return pad_adjoint(spread, self._pad_rows, self._pad_columns, self.boundary)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        return self._filter(y, f(self._power.like(y)))

    def _lipschitz(self) -> tuple[float, str]:
        largest = np.sqrt(np.max(self._power.host, axis=(1, 2)))
        if self.boundary == "circular":
            return float(np.max(largest)), "exact"
        bound = schur_bound(self, Blur(np.abs(self.kernel), self.dim_shape, self.boundary))
        # Or: the circulant's norm times that of the extension, whose columns are orthogonal,
        # with as many ones each as there are copies of the pixel (one, for zero padding).
        _, height, width = self.dim_shape
        extended = np.ones((height + sum(self._pad_rows), width + sum(self._pad_columns)))
        copies = pad_adjoint(extended, self._pad_rows, self._pad_columns, self.boundary)
        bound = min(bound, float(np.max(largest) * np.sqrt(np.max(copies))))
        return bound * ROUNDING, "bound"

    def _options(self) -> dict[str, Any]:
        kernel = encode_array(self.kernel) if self._recipe is None else self._recipe
        return {"kernel": kernel, "dim_shape": list(self.dim_shape), "boundary": self.boundary}


def schur_bound(operator: LinearOperator, absolute: LinearOperator) -> float:
    """Return Schur's bound sqrt(‖A‖₁ ‖A‖∞) on the norm of an operator that keeps channels apart.

    Parameters
    ----------
    operator : LinearOperator
        The operator A, from ``(C, H, W)`` to ``(C, h, w)``.
    absolute : LinearOperator
        An operator whose entries are at least the absolute values of those of A.

    Returns
    -------
    float
        The largest over the channels, up to rounding.
    """
    rows = absolute._apply(np.ones(operator.dim_shape)).max(axis=(1, 2))
    columns = absolute._adjoint(np.ones(operator.codim_shape)).max(axis=(1, 2))
    return float(np.max(np.sqrt(rows * columns)))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
