"""Blur by convolution with a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import Array, HostArray
from . import kernels
from .base import LinearOperator
from .boundaries import check_boundary, pad_adjoint
from .checks import as_shape
from .config import encode_array
from .convolution import Convolution
from .registration import register_operator
from .separable_blur import SeparableBlur

RANK_ONE = 1e-12
"""A kernel whose second singular value is at most this share of its first is one column times one row."""

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
        What lies beyond the edge, by torch's names. Closed forms are there for ``"circular"``, and for
        every rule where the kernel is one column times one row, as uniform and Gaussian kernels are.

    Raises
    ------
    ArgumentError
        If the kernel is larger than the image, not finite, or all zero; or the boundary is
        unknown.

    Notes
    -----
    See :class:`.Convolution` for how it is computed.
    """

    def __init__(
        self, kernel: Array | Mapping[str, Any], dim_shape: Sequence[int], boundary: str = "circular"
    ) -> None:
        shape = as_shape(dim_shape, "dim_shape", 3)
        super().__init__(shape, shape)
        host, self._recipe = kernels.of_channels(kernel, shape[0])
        self._kernel = HostArray(host)
        self.boundary = check_boundary(boundary)
        self._convolution = Convolution(self._kernel.host, shape[1:], boundary)

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
        """Whether the boundary is circular, so that the FFT diagonalises A Aᵀ, or the kernel separable."""
        return self.boundary == "circular" or self._separable is not None

    @cached_property
    def _separable(self) -> SeparableBlur | None:
        """The same blur along columns and then rows, whose closed forms know every boundary rule."""
        if self.boundary == "circular" or len(self.kernel) > 1:
            return None
        left, singular, right = np.linalg.svd(self.kernel[0])
        if len(singular) > 1 and singular[1] > RANK_ONE * singular[0]:
            return None
        rows, columns = left[:, 0] * singular[0], right[0]
        return SeparableBlur(rows, columns, self.dim_shape, self.boundary)

    def _apply(self, x: Array) -> Array:
        return self._convolution.apply(x)

    def _adjoint(self, y: Array) -> Array:
        return self._convolution.adjoint(y)

    def _gram(self, x: Array) -> Array:
        return self._convolution.gram(x)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        if self._separable is not None:
            return self._separable._cogram_function(f, y)
        return self._convolution.filter(y, f(self._convolution.power.like(y)))

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        if self._separable is not None:
            return self._separable._adjoint_cogram_function(f, y)
        return super()._adjoint_cogram_function(f, y)

    def _lipschitz(self) -> tuple[float, str]:
        largest = np.sqrt(np.max(self._convolution.power.host, axis=(1, 2)))
        if self.boundary == "circular":
            return float(np.max(largest)), "exact"
        bound = schur_bound(self, Blur(np.abs(self.kernel), self.dim_shape, self.boundary))
        # Or: the circulant's norm times that of the extension, whose columns are orthogonal,
        # with as many ones each as there are copies of the pixel (one, for zero padding).
        plan, (_, height, width) = self._convolution, self.dim_shape
        extended = np.ones((height + sum(plan.pad_rows), width + sum(plan.pad_columns)))
        copies = pad_adjoint(extended, plan.pad_rows, plan.pad_columns, self.boundary)
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
