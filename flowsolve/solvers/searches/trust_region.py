"""A quadratic model trusted within a radius that the model's success decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...objectives.base import sum_squares
from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ..base import require_positive
from .base import Proposal, initial_step, register_search
from .model_search import ModelSearch


@register_search("trust-region")
@dataclass(frozen=True)
class TrustRegion(ModelSearch):
    """Minimise the descent's model within a radius (Moré, 1983; Nocedal & Wright, 2006, algorithm 4.1).

    A step is taken if F fell by at least `accept` of what the model predicted. Below a quarter of it the
    radius becomes a quarter of the move; above three quarters, with a move that reached it, it doubles.

    Parameters
    ----------
    accept : float
        Part of the predicted decrease that a step must bring.
    max_trials : int
        Evaluations an image may spend on one iteration.
    radius : float, optional
        Largest move ‖u' − u‖₂ of the first iteration; unless given, ten times the move of a first gradient
        step.
    """

    needs: ClassVar[str] = "radius"

    radius: float | None = None

    #: First radius in moves of a gradient step by the inverse curvature, which the steepest direction limits.
    WIDE = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.radius is not None:
            require_positive("radius", self.radius)

    def init(
        self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first radius of each image; nothing else is remembered."""
        assert evaluation.grad is not None
        if self.radius is not None:
            radius = torch.full_like(evaluation.value, self.radius)
        else:
            radius = (
                self.WIDE
                * initial_step(objective.evaluate, u, evaluation)
                * sum_squares(evaluation.grad).sqrt()
            )
        return radius, radius.new_zeros(len(u), 0)

    def minimiser(
        self, proposal: Proposal, index: torch.Tensor, limit: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the minimiser within the radius, its length the step; see `ModelSearch.minimiser`."""
        assert proposal.within is not None
        move, predicted = proposal.within(index, limit)
        return move, predicted, sum_squares(move).sqrt()

    def revise(
        self, limit: torch.Tensor, ratio: torch.Tensor, step: torch.Tensor, good: torch.Tensor, rejected: int
    ) -> torch.Tensor:
        """Return the next radius; see `ModelSearch.revise`."""
        poor = ~good | (ratio < 0.25)
        wide = good & (ratio > 0.75) & (step >= 0.99 * limit)
        shorter = 0.25 * torch.where(step > 0, torch.minimum(step, limit), limit)
        return torch.where(poor, shorter, torch.where(wide, 2 * limit, limit))
