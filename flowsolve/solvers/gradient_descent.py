"""Gradient descent with fixed, Armijo or Barzilai–Borwein steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..linesearch import armijo, initial_step
from ..objectives.base import Objective, inner, per_image, sum_squares
from .base import Solver, State, register_solver, require_choice, require_positive, zeros


@dataclass
class GradientDescentState(State):
    """State of gradient descent: the next first trial of each image and its recent values."""

    trial: torch.Tensor
    recent: torch.Tensor


@register_solver("gradient_descent")
@dataclass(frozen=True)
class GradientDescent(Solver):
    """Gradient descent: fixed, Armijo backtracking or Barzilai-Borwein steps.

    Parameters
    ----------
    search : {"barzilai-borwein", "armijo", "fixed"}
        ``armijo`` starts from twice the last step and backtracks (Armijo, 1966). ``barzilai-borwein`` takes
        the long spectral step ⟨s, s⟩/⟨s, y⟩ (Barzilai & Borwein, 1988), made globally convergent by a
        non-monotone search over the last `memory` values (Raydan, 1997). ``fixed`` takes `step_size` as it is
        and may diverge; the driver then returns the best iterate.
    step_size : float, optional
        First step (every step, with ``fixed``); unless given, the inverse of the local curvature.
    memory : int
        Values the non-monotone search looks back on.
    max_trials : int
        Evaluations an image may spend on one search.
    """

    state_type = GradientDescentState

    search: str = "barzilai-borwein"
    step_size: float | None = None
    memory: int = 10
    max_trials: int = 30

    def __post_init__(self) -> None:
        require_choice("search", self.search, ("barzilai-borwein", "armijo", "fixed"))
        if self.step_size is not None:
            require_positive("step_size", self.step_size)
        require_positive("memory", self.memory)
        require_positive("max_trials", self.max_trials)

    def init(self, objective: Objective, u: torch.Tensor) -> GradientDescentState:
        """Evaluate the start and choose the first step."""
        objective.require_smooth("gradient_descent")
        evaluation = objective.evaluate(u)
        assert evaluation.grad is not None
        if self.step_size is None:
            trial = initial_step(objective, u, evaluation)
        else:
            trial = torch.full_like(evaluation.value, self.step_size)
        recent = evaluation.value[:, None].repeat(1, self.memory)
        norm = sum_squares(evaluation.grad).sqrt()
        return GradientDescentState(u, evaluation, zeros(u), norm, zeros(u).bool(), trial, recent)

    def step(self, objective: Objective, state: State) -> GradientDescentState:
        """Take one step along minus the gradient."""
        assert isinstance(state, GradientDescentState) and state.evaluation.grad is not None
        grad = state.evaluation.grad
        if self.search == "fixed":
            u = state.u - per_image(state.trial, grad) * grad
            evaluation, step, failed = objective.evaluate(u), state.trial, state.failed
        else:
            monotone = self.search == "armijo"
            found = armijo(
                objective,
                state.u,
                state.evaluation,
                -grad,
                state.trial,
                reference=None if monotone else state.recent.amax(1),
                max_trials=self.max_trials,
            )
            u, evaluation, step, failed = found.u, found.evaluation, found.step, ~found.found
        assert evaluation.grad is not None
        trial = self._next_trial(state, u, evaluation.grad, step)
        recent = torch.cat([state.recent[:, 1:], evaluation.value[:, None]], 1)
        norm = sum_squares(evaluation.grad).sqrt()
        return GradientDescentState(u, evaluation, step, norm, failed, trial, recent)

    def _next_trial(
        self, state: GradientDescentState, u: torch.Tensor, grad: torch.Tensor, step: torch.Tensor
    ) -> torch.Tensor:
        if self.search == "fixed":
            return state.trial
        if self.search == "armijo":
            return torch.where(step > 0, 2 * step, state.trial)
        assert state.evaluation.grad is not None
        s, y = u - state.u, grad - state.evaluation.grad
        curvature = inner(s, y)
        spectral = sum_squares(s) / curvature
        # Where the curvature along s is not positive the spectral step means nothing: lengthen the last one.
        return torch.where(curvature > 0, spectral.clamp(step / 100, step * 100), 2 * step)
