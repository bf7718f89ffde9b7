"""Nonlinear conjugate gradients: memory of one direction, nearly the speed of quasi-Newton methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ..objectives.base import Objective, inner, per_image, sum_squares
from .base import State, register_solver, require_choice, zeros
from .descent import DescentSolver, DescentState
from .searches import Proposal, SearchResult


@dataclass
class NonlinearCGState(DescentState):
    """State of nonlinear CG: last direction (zero after a restart), gradient before it and slope along it."""

    direction: torch.Tensor
    last_grad: torch.Tensor
    slope: torch.Tensor


@register_solver("nonlinear_cg")
@dataclass(frozen=True, init=False)
class NonlinearCG(DescentSolver):
    """Nonlinear conjugate gradients: Polak-Ribière+, Hager-Zhang or Dai-Yuan, with restarts.

    The direction is −∇F + β d, d the last one. It starts afresh from −∇F where it would not descend.

    Parameters
    ----------
    beta : {"polak-ribiere", "hager-zhang", "dai-yuan"}
        Formula of β: PR+ (Gilbert & Nocedal, 1992), CG_DESCENT's with its lower bound (Hager & Zhang, 2005,
        eqs 1.3 and 1.6), or Dai & Yuan's (1999).
    restart : bool
        Start afresh too where consecutive gradients are far from orthogonal, |⟨g, g'⟩| ≥ 0.2 ‖g‖²
        (Powell, 1977).
    search : str or Search
        ``strong-wolfe`` unless given, with ``curvature=0.3``.
    **options
        Of the search.
    """

    state_type: ClassVar[type[State]] = NonlinearCGState
    # Its directions have no length that one step would fit: a search there must be.
    offers: ClassVar[tuple[str, ...]] = ("direction",)
    search_defaults: ClassVar[dict[str, Any]] = {"curvature": 0.3}

    beta: str = "hager-zhang"
    restart: bool = False

    #: Powell's bound, and Hager and Zhang's η.
    ORTHOGONAL, ETA = 0.2, 0.01

    def check(self) -> None:
        """Check the options."""
        require_choice("beta", self.beta, ("polak-ribiere", "hager-zhang", "dai-yuan"))

    def start(self, objective: Objective, state: DescentState) -> NonlinearCGState:
        """Start without a direction."""
        rest = torch.zeros_like(state.u)
        return NonlinearCGState(**vars(state), direction=rest, last_grad=rest.clone(), slope=zeros(state.u))

    def propose(self, objective: Objective, state: NonlinearCGState) -> Proposal:
        """Return the conjugate direction, or minus the gradient where it starts afresh."""
        grad = state.evaluation.grad
        assert grad is not None
        beta = self._beta(grad, state.last_grad, state.direction)
        if self.restart:
            far = inner(grad, state.last_grad).abs() >= self.ORTHOGONAL * sum_squares(grad)
            beta = torch.where(far, 0.0, beta)
        direction = per_image(beta, grad) * state.direction - grad
        slope = inner(direction, grad)
        fresh = ~(torch.isfinite(slope) & (slope < 0) & (beta != 0))
        direction = torch.where(per_image(fresh, grad) > 0, -grad, direction)
        # The step that would change F to first order as the last one did (Nocedal & Wright, 2006, eq. 3.60).
        first = state.step * state.slope / torch.where(fresh, -sum_squares(grad), slope)
        return Proposal(direction, torch.where(first > 0, first, torch.nan), fresh)

    def advance(
        self, before: NonlinearCGState, proposal: Proposal, found: SearchResult, after: DescentState
    ) -> NonlinearCGState:
        """Keep direction and gradient, or none where the search found nothing."""
        grad = before.evaluation.grad
        assert grad is not None
        lost = per_image(~found.found, grad) > 0
        direction = torch.where(lost, 0.0, proposal.direction)
        slope = inner(direction, grad)
        return NonlinearCGState(**vars(after), direction=direction, last_grad=grad, slope=slope)

    def _beta(self, grad: torch.Tensor, last: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """Return β of each image; 0 where there is no last direction."""
        y = grad - last
        along = inner(direction, y)
        if self.beta == "polak-ribiere":
            beta = (inner(grad, y) / sum_squares(last)).clamp(min=0)
        elif self.beta == "dai-yuan":
            beta = sum_squares(grad) / along
        else:
            beta = (inner(y, grad) - 2 * sum_squares(y) * inner(direction, grad) / along) / along
            norm, last_norm = sum_squares(direction).sqrt(), sum_squares(last).sqrt()
            beta = torch.maximum(beta, -1 / (norm * last_norm.clamp(max=self.ETA)))
        return torch.where(torch.isfinite(beta) & (sum_squares(direction) > 0), beta, 0.0)
