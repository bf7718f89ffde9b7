"""Blur that changes over the image, as a weighted sum of blurs that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, HostArray
from ..errors import ArgumentError
from . import kernels as kernel_recipes
from .base import LinearOperator
from .boundaries import check_boundary
from .checks import as_finite, as_pair, as_shape
from .config import decode_array, encode_array, is_encoded_array
from .convolution import Convolution
from .iterative import perron_bound
from .registration import register_operator


@register_operator("varying_blur")
class VaryingBlur(LinearOperator):
    """Blur with a kernel that depends on the place: A x = Σ_p w_p · (k_p * x).

    Pixel by pixel the result is a weighted mean of a few blurs of the whole image (Nagy and
    O'Leary, "Restoring images degraded by spatially variant blur", SIAM J. Sci. Comput. 19,
    1998), so it costs as many convolutions as there are kernels.

    Parameters
    ----------
    kernels : sequence of array or mapping
        The kernels k_p: arrays of shape ``(kh, kw)``, which may differ in size, or recipes
        such as ``{"gaussian": {"std": 2.0}}`` (see :mod:`.kernels`).
    dim_shape : (int, int, int)
        Shape ``(C, H, W)`` of one image.
    weights : array or mapping
        The weights w_p, shape ``(P, H, W)``; or ``{"grid": {"rows": r, "columns": c}}`` for
        r · c kernels, row by row, each in the middle of its part of the image, and bilinear
        in between.
    boundary : {"circular", "zero", "reflect", "replicate"}, optional
        What lies beyond the edge, by torch's names.

    Raises
    ------
    ArgumentError
        If a kernel is larger than the image or not finite, or the weights do not fit.
    """

    def __init__(
        self,
        kernels: Sequence[Array | Mapping[str, Any]],
        dim_shape: Sequence[int],
        weights: Array | Mapping[str, Any],
        boundary: str = "reflect",
    ) -> None:
        shape = as_shape(dim_shape, "dim_shape", 3)
        super().__init__(shape, shape)
        self.boundary = check_boundary(boundary)
        items = [] if isinstance(kernels, str | Mapping) or not hasattr(kernels, "__len__") else list(kernels)
        if not items:
            raise ArgumentError("kernels", kernels, "a list of one or more kernels")
        resolved = [kernel_recipes.resolve(k, f"kernels[{i}]") for i, k in enumerate(items)]
        for i, (host, _) in enumerate(resolved):
            if host.ndim != 2:
                raise ArgumentError(f"kernels[{i}]", f"shape {host.shape}", "shape (kh, kw)")
        self._recipes = [recipe or encode_array(host) for host, recipe in resolved]
        self._maps, self._grid = _weights(weights, len(items), shape[1:])
        self._parts = [Convolution(host[None], shape[1:], boundary) for host, _ in resolved]
        self._weights = [HostArray(plane[None]) for plane in self._maps]

    @property
    def kernels(self) -> list[np.ndarray]:
        """The kernels, float64, shape ``(kh, kw)`` each."""
        return [part.kernels[0] for part in self._parts]

    @property
    def weights(self) -> np.ndarray:
        """The weights, float64, shape ``(P, H, W)``."""
        return self._maps

    def _apply(self, x: Array) -> Array:
        terms = (w.like(x) * part.apply(x) for w, part in zip(self._weights, self._parts, strict=True))
        return _sum(terms)

    def _adjoint(self, y: Array) -> Array:
        terms = (part.adjoint(w.like(y) * y) for w, part in zip(self._weights, self._parts, strict=True))
        return _sum(terms)

    def _lipschitz(self) -> tuple[float, str]:
        # No entry of the operator exceeds that of the one with absolute kernels and weights.
        shape = (1, *self.dim_shape[1:])
        absolute = VaryingBlur([np.abs(k) for k in self.kernels], shape, np.abs(self._maps), self.boundary)
        return perron_bound(absolute._gram, np.ones(shape)) ** 0.5, "bound"

    def _options(self) -> dict[str, Any]:
        return {
            "kernels": self._recipes,
            "dim_shape": list(self.dim_shape),
            "weights": self._grid or encode_array(self._maps),
            "boundary": self.boundary,
        }


def _sum(terms: Any) -> Array:
    total = None
    for term in terms:
        total = term if total is None else total + term
    return total


def _weights(
    weights: Any, count: int, size: tuple[int, ...]
) -> tuple[np.ndarray, dict[str, dict[str, int]] | None]:
    """Return the weight maps, shape (P, H, W), and the recipe if they came from one."""
    if isinstance(weights, Mapping) and not is_encoded_array(weights):
        options = weights.get("grid")
        if len(weights) != 1 or not isinstance(options, Mapping) or set(options) != {"rows", "columns"}:
            accepted = 'an array (P, H, W), or {"grid": {"rows": r, "columns": c}}'
            raise ArgumentError("weights", dict(weights), accepted)
        rows, columns = as_pair([options["rows"], options["columns"]], "grid")
        if rows * columns != count:
            raise ArgumentError("weights", f"a grid of {rows} x {columns}", f"{count} places, one per kernel")
        hats = [_hats(n, parts) for n, parts in zip(size, (rows, columns), strict=True)]
        maps = np.einsum("ih,jw->ijhw", *hats).reshape(count, *size)
        return maps, {"grid": {"rows": rows, "columns": columns}}
    host = decode_array(weights) if is_encoded_array(weights) else as_finite(weights, "weights")
    if host.shape != (count, *size):
        raise ArgumentError("weights", f"shape {host.shape}", f"shape {(count, *size)}")
    return host, None


def _hats(n: int, parts: int) -> np.ndarray:
    """Return the hat functions over n pixels that peak in the middle of each part; they sum to one."""
    middles = (np.arange(parts) + 0.5) * n / parts
    return np.stack([np.interp(np.arange(n) + 0.5, middles, row) for row in np.eye(parts)])
