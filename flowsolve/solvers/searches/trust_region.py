"""A quadratic model trusted within a radius that the model's success decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...objectives.base import Evaluation, Objective, sum_squares
from ..base import require_count, require_positive
from .base import Proposal, Search, SearchResult, Trials, initial_step, register_search


@register_search("trust-region")
@dataclass(frozen=True)
class TrustRegion(Search):
    """Minimise the descent's model within a radius (Moré, 1983; Nocedal & Wright, 2006, algorithm 4.1).

    A step is taken if F fell by at least `accept` of what the model predicted. Below a quarter of it the
    radius becomes a quarter of the move; above three quarters, with a move that reached it, it doubles.

    Parameters
    ----------
    radius : float, optional
        Largest move ‖u' − u‖₂ of the first iteration; unless given, ten times the move of a first gradient
        step.
    accept : float
        Part of the predicted decrease that a step must bring.
    max_trials : int
        Evaluations an image may spend on one iteration.
    """

    needs: ClassVar[str] = "radius"

    radius: float | None = None
    accept: float = 1e-4
    max_trials: int = 20

    #: First radius in moves of a gradient step by the inverse curvature, which the steepest direction limits.
    WIDE = 10.0

    def __post_init__(self) -> None:
        if self.radius is not None:
            require_positive("radius", self.radius)
        require_positive("accept", self.accept, below=0.25)
        require_count("max_trials", self.max_trials)

    def init(
        self, objective: Objective, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first radius of each image; nothing else is remembered."""
        assert evaluation.grad is not None
        if self.radius is not None:
            radius = torch.full_like(evaluation.value, self.radius)
        else:
            radius = self.WIDE * initial_step(objective, u, evaluation) * sum_squares(evaluation.grad).sqrt()
        return radius, radius.new_zeros(len(u), 0)

    def search(
        self,
        objective: Objective,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Shrink the radius until the model's minimiser is good enough."""
        assert proposal.within is not None
        trials, radius = Trials(objective, u, evaluation), trial.clone()
        searching = torch.arange(len(u), device=u.device)
        for _ in range(self.max_trials):
            if len(searching) == 0:
                break
            i = searching
            move, predicted = proposal.within(i, radius[i])
            length = sum_squares(move).sqrt()
            point, new, finite = trials.evaluate(i, move)
            ratio = (evaluation.value[i] - new.value) / predicted
            good = finite & (predicted > 0) & (ratio >= self.accept)
            trials.accept(i, good, length, point, new)
            poor = ~good | (ratio < 0.25)
            wide = good & (ratio > 0.75) & (length >= 0.99 * radius[i])
            shorter = 0.25 * torch.where(length > 0, torch.minimum(length, radius[i]), radius[i])
            radius[i] = torch.where(poor, shorter, torch.where(wide, 2 * radius[i], radius[i]))
            searching = i[~good]
        # A search that failed has shrunk the radius beyond use: the next one starts from the last radius.
        return trials.result, torch.where(trials.result.found, radius, trial), memory
