"""Gradient descent with momentum: the last move goes on, in the heavy-ball or in Nesterov's way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..objectives.base import Objective, inner, per_image, sum_squares
from .base import State, register_solver, require_choice, require_positive
from .descent import DescentSolver, DescentState, steepest
from .searches import Proposal, SearchResult


@dataclass
class MomentumState(DescentState):
    """State of momentum: the velocity, in units of the gradient."""

    velocity: torch.Tensor


@register_solver("momentum")
@dataclass(frozen=True, init=False)
class Momentum(DescentSolver):
    """Gradient descent with momentum: heavy ball or Nesterov's.

    With v ← β v − ∇F(u), heavy ball (Polyak, 1964) moves along v. Nesterov's method (1983) moves along
    β v − ∇F(u): the form in which u is the point looked ahead to, so that an iteration needs one gradient
    (Sutskever, Martens, Dahl & Hinton, ICML 2013).

    Parameters
    ----------
    beta : float
        Factor β of the velocity, in [0, 1).
    variant : {"heavy-ball", "nesterov"}
        Which momentum.
    restart : bool
        Drop the velocity where it points uphill (gradient scheme of O'Donoghue & Candès, 2015).
    search : str or Search
        ``armijo`` unless given. With ``fixed`` these are the textbook's methods, for `restart` off.
    **options
        Of the search.
    """

    state_type: ClassVar[type[State]] = MomentumState
    default_search: ClassVar[str] = "armijo"
    takes_fields: ClassVar[bool] = True

    beta: float = 0.9
    variant: str = "heavy-ball"
    restart: bool = True

    def check(self) -> None:
        """Check the options."""
        require_positive("beta", self.beta, below=1, zero=True)
        require_choice("variant", self.variant, ("heavy-ball", "nesterov"))

    def start(self, objective: Objective, state: DescentState) -> MomentumState:
        """Start at rest."""
        return MomentumState(**vars(state), velocity=torch.zeros_like(state.u))

    def propose(self, objective: Objective, state: MomentumState) -> Proposal:
        """Return the new velocity, for Nesterov's method looked ahead."""
        if self.restart:
            assert state.evaluation.grad is not None
            uphill = inner(state.velocity, state.evaluation.grad) > 0
            state.velocity = torch.where(per_image(uphill, state.u) > 0, 0.0, state.velocity)
        proposal = steepest(state)
        proposal.last_resort = sum_squares(state.velocity) == 0
        downhill = proposal.direction
        proposal.direction = downhill + self.beta * state.velocity
        if self.variant == "nesterov":
            proposal.direction = downhill + self.beta * proposal.direction
        return proposal

    def advance(
        self, before: MomentumState, proposal: Proposal, found: SearchResult, after: DescentState
    ) -> MomentumState:
        """Keep the velocity, or stop where the search found nothing."""
        assert before.evaluation.grad is not None
        velocity = self.beta * before.velocity - before.evaluation.grad
        stopped = per_image(~found.found, velocity) > 0
        return MomentumState(**vars(after), velocity=torch.where(stopped, 0.0, velocity))
