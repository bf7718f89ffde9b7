"""Operators that show another operator differently: its adjoint and its Gram operator."""

from __future__ import annotations

from typing import Any

from ..arrays import Array
from .base import LinearOperator
from .config import from_config
from .registration import register_composite
from .spectral import with_axes


class _View(LinearOperator):
    """An operator made of one other operator."""

    def __init__(self, operator: LinearOperator, dim_shape: Any, codim_shape: Any) -> None:
        super().__init__(dim_shape, codim_shape, n_images=operator.n_images)
        self.operator = operator

    @property
    def has_closed_form(self) -> bool:
        """Whether the operator behind has one."""
        return self.operator.has_closed_form

    def _select(self, indices: list[int]) -> LinearOperator:
        return type(self)(self.operator.select(indices))  # type: ignore[call-arg]

    def _options(self) -> dict[str, Any]:
        return {"operator": self.operator.config()}

    @classmethod
    def from_config(cls, options: dict[str, Any]) -> Any:
        """Return the view of the operator that the options describe."""
        return cls(from_config(options["operator"]))  # type: ignore[call-arg]


@register_composite("adjoint")
class Adjoint(_View):
    """The adjoint of an operator, as an operator.

    Parameters
    ----------
    operator : LinearOperator
        The operator A of which this is Aᵀ.
    """

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator, operator.codim_shape, operator.dim_shape)

    def _apply(self, x: Array) -> Array:
        return self.operator._adjoint(x)

    def _adjoint(self, y: Array) -> Array:
        return self.operator._apply(y)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        return self.operator.gram_function(f, y)

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        # A f(AᵀA) = f(AAᵀ) A, which does not go through f(0) as a function of AᵀA does.
        inner = self.operator
        shown = with_axes(f, len(inner.codim_shape), len(inner.dim_shape))
        return inner._cogram_function(shown, inner.apply(y))

    def _lipschitz(self) -> tuple[float, str]:
        return self.operator.lipschitz, self.operator.lipschitz_kind

    @property
    def T(self) -> LinearOperator:
        """The operator that this is the adjoint of."""
        return self.operator


@register_composite("gram")
class Gram(_View):
    """The Gram operator AᵀA of an operator; that of ``A.T`` is AAᵀ.

    Parameters
    ----------
    operator : LinearOperator
        The operator A.
    """

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator, operator.dim_shape, operator.dim_shape)

    def _apply(self, x: Array) -> Array:
        return self.operator._gram(x)

    def _adjoint(self, y: Array) -> Array:
        return self._apply(y)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        return self.operator.gram_function(lambda e: f(e * e), y)

    def _adjoint_cogram_function(self, f: Any, y: Array) -> Array:
        # With G = AᵀA: G f(G²) = Aᵀ f((AAᵀ)²) A.
        inner = self.operator
        shown = with_axes(f, len(inner.codim_shape), len(inner.dim_shape))
        return inner._adjoint_cogram_function(lambda e: shown(e * e), inner.apply(y))

    def _lipschitz(self) -> tuple[float, str]:
        return self.operator.lipschitz**2, self.operator.lipschitz_kind

    @property
    def T(self) -> LinearOperator:
        """The operator itself: it is symmetric."""
        return self
