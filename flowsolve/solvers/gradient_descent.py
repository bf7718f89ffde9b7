"""Gradient descent: along minus the gradient, by any search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..objectives.base import Objective
from .base import register_solver
from .descent import DescentSolver, DescentState, steepest
from .searches import Proposal


@register_solver("gradient_descent")
@dataclass(frozen=True, init=False)
class GradientDescent(DescentSolver):
    """Gradient descent: fixed, Armijo, strong Wolfe or Barzilai-Borwein steps.

    Parameters
    ----------
    search : str or Search
        ``barzilai-borwein`` unless given.
    **options
        Of the search.
    """

    offers: ClassVar[tuple[str, ...]] = ("direction", "length", "gradient")
    default_search: ClassVar[str] = "barzilai-borwein"
    takes_fields: ClassVar[bool] = True

    def propose(self, objective: Objective, state: DescentState) -> Proposal:
        """Return minus the gradient."""
        return steepest(state)
