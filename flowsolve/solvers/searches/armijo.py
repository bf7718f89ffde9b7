"""Backtracking until F has fallen enough, or is low enough among its recent values."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...objectives.base import inner, per_image
from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ..base import require_count, require_positive
from .base import Proposal, Search, SearchResult, Trials, first_trial, next_trial, register_search


def armijo(
    objective: Searchable,
    u: torch.Tensor,
    evaluation: Evaluation,
    direction: torch.Tensor,
    step: torch.Tensor,
    *,
    reference: torch.Tensor | None = None,
    sufficient_decrease: float = 1e-4,
    max_trials: int = 30,
) -> SearchResult:
    """Backtrack until F(u + t d) ≤ reference + c₁ t ⟨∇F, d⟩ (Armijo, 1966).

    Parameters
    ----------
    objective : Objective
        What is minimised.
    u, evaluation : torch.Tensor, Evaluation
        Start and the objective there.
    direction : torch.Tensor
        Descent direction d, of the shape of u.
    step : torch.Tensor, shape (N,)
        First trial of each image.
    reference : torch.Tensor, shape (N,), optional
        Value to stay below: F(u) unless given; the largest of recent values gives the non-monotone search of
        Grippo, Lampariello & Lucidi (1986).
    sufficient_decrease : float
        c₁.
    max_trials : int
        Evaluations an image may spend.
    """
    assert evaluation.grad is not None
    trials = Trials(objective, u, evaluation)
    slope0 = inner(evaluation.grad, direction)
    reference = evaluation.value if reference is None else reference
    step = step.clone()
    searching = (slope0 < 0).nonzero()[:, 0]
    for _ in range(max_trials):
        if len(searching) == 0:
            break
        t, f0, m0 = step[searching], evaluation.value[searching], slope0[searching]
        d = direction[searching]
        point, new, finite = trials.evaluate(searching, per_image(t, d) * d)
        good = finite & (new.value <= reference[searching] + sufficient_decrease * t * m0)
        trials.accept(searching, good, t, point, new)
        # Minimiser of the parabola through F(u), its slope and the trial, within [0.1, 0.5] of the trial.
        parabola = -m0 * t.square() / (2 * (new.value - f0 - t * m0))
        shorter = torch.where(finite, parabola.nan_to_num(0.0), 0.1 * t)
        step[searching] = torch.minimum(torch.maximum(shorter, 0.1 * t), 0.5 * t)
        searching = searching[~good]
    return trials.result


@register_search("armijo")
@dataclass(frozen=True)
class Armijo(Search):
    """Backtracking until F falls enough, from twice the last step (Armijo, 1966).

    Parameters
    ----------
    step_size : float, optional
        First trial of the first iteration; unless given, the inverse of the curvature at the start.
    sufficient_decrease : float
        c₁ of the condition.
    memory : int
        Values among the last of which F need not exceed the largest: 1 is monotone; more is the non-monotone
        search of Grippo, Lampariello & Lucidi (1986).
    max_trials : int
        Evaluations an image may spend on one search.
    """

    step_size: float | None = None
    sufficient_decrease: float = 1e-4
    memory: int = 1
    max_trials: int = 30

    def __post_init__(self) -> None:
        if self.step_size is not None:
            require_positive("step_size", self.step_size)
        require_positive("sufficient_decrease", self.sufficient_decrease, below=1)
        require_count("memory", self.memory)
        require_count("max_trials", self.max_trials)

    def init(
        self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first step, and the value at the start as all recent ones."""
        trial = first_trial(objective, u, evaluation, self.step_size)
        return trial, evaluation.value[:, None].repeat(1, self.memory)

    def search(
        self,
        objective: Searchable,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Backtrack from the descent's own step, or from twice the last one."""
        found = armijo(
            objective,
            u,
            evaluation,
            proposal.direction,
            proposal.first_or(trial),
            reference=memory.amax(1),
            sufficient_decrease=self.sufficient_decrease,
            max_trials=self.max_trials,
        )
        memory = torch.cat([memory[:, 1:], found.evaluation.value[:, None]], 1)
        return found, next_trial(proposal, found, trial, factor=2.0), memory
