"""The operator of denoising."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays import Array, copy, namespace
from .base import LinearOperator
from .registration import register_operator


@register_operator("identity")
class Identity(LinearOperator):
    """Leave the image as it is (denoising).

    Parameters
    ----------
    dim_shape : tuple of int
        Shape of one image, ``(C, H, W)`` or any other.
    """

    def __init__(self, dim_shape: Sequence[int]) -> None:
        super().__init__(dim_shape, dim_shape)

    @property
    def has_closed_form(self) -> bool:
        """True."""
        return True

    def _apply(self, x: Array) -> Array:
        # A copy, so that writing to the result never writes to the input.
        return copy(x)

    def _adjoint(self, y: Array) -> Array:
        return self._apply(y)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        xp = namespace(y)
        return f(xp.ones((1,) * len(self.codim_shape), dtype=y.dtype, device=y.device)) * y

    def _lipschitz(self) -> tuple[float, str]:
        return 1.0, "exact"

    def _options(self) -> dict[str, Any]:
        return {"dim_shape": list(self.dim_shape)}
