"""Blur of an image that is larger than what was measured of it, as a camera sees a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, namespace
from . import kernels
from .base import LinearOperator
from .boundaries import pad
from .checks import as_shape
from .config import encode_array
from .convolution import Convolution
from .registration import register_operator


@register_operator("valid_blur")
class ValidBlur(LinearOperator):
    """Blur with a kernel, of which only what depends on no boundary is measured.

    The convolution that SciPy calls ``valid``: each measured pixel is a sum over pixels of the image, which
    reaches beyond the measured frame by the kernel's size less one. The kernel's centre is its pixel
    ``(kh // 2, kw // 2)``, as for :class:`.Blur`, of which this is the middle part whatever its boundary.

    Parameters
    ----------
    kernel : array or mapping
        As for :class:`.Blur`.
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image; measurements have the shape ``(C, H - kh + 1, W - kw + 1)``.

    Raises
    ------
    ArgumentError
        If the kernel is larger than the image, not finite, or all zero.

    Notes
    -----
    M. S. C. Almeida and M. A. T. Figueiredo, "Deconvolving images with unknown boundaries using the
    alternating direction method of multipliers", IEEE Trans. Image Process. 22, 2013.
    """

    def __init__(self, kernel: Array | Mapping[str, Any], dim_shape: Sequence[int]) -> None:
        channels, height, width = as_shape(dim_shape, "dim_shape", 3)
        host, self._recipe = kernels.of_channels(kernel, channels)
        self._kernel = HostArray(host)
        # Where nothing that is measured wraps around, the circular blur is the cheapest.
        self._convolution = Convolution(self._kernel.host, (height, width), "circular")
        rows, columns = self.kernel.shape[1:]
        super().__init__((channels, height, width), (channels, height - rows + 1, width - columns + 1))
        self._before = (rows - 1 - rows // 2, columns - 1 - columns // 2)

    @property
    def kernel(self) -> np.ndarray:
        """The kernel, shape ``(1, kh, kw)`` or ``(C, kh, kw)``, float64, read-only."""
        return self._kernel.host

    @property
    def frame(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the measured pixels lie on."""
        (top, left), (_, height, width) = self._before, self.codim_shape
        return slice(top, top + height), slice(left, left + width)

    @property
    def circular(self) -> Convolution:
        """The circular blur of the whole image, whose pixels in the frame are the measurements."""
        return self._convolution

    def embed(self, y: Array) -> Array:
        """Return measurements in their place, 0 around them: the adjoint of cutting them out."""
        (top, left), (_, height, width) = self._before, self.dim_shape
        bottom, right = height - top - y.shape[-2], width - left - y.shape[-1]
        return pad(y, (top, bottom), (left, right), "zero")

    def _apply(self, x: Array) -> Array:
        rows, columns = self.frame
        return namespace(x).asarray(self._convolution.apply(x)[..., rows, columns], copy=True)

    def _adjoint(self, y: Array) -> Array:
        return self._convolution.adjoint(self.embed(y))

    def _lipschitz(self) -> tuple[float, str]:
        # Of the circular blur rows are left out; and Schur's bound, which positive kernels reach.
        largest = float(np.sqrt(self._convolution.power.host.max()))
        total = float(np.abs(self.kernel).sum((1, 2)).max())
        return min(largest, total) * (1.0 + 1e-12), "bound"

    def _options(self) -> dict[str, Any]:
        kernel = encode_array(self.kernel) if self._recipe is None else self._recipe
        return {"kernel": kernel, "dim_shape": list(self.dim_shape)}
