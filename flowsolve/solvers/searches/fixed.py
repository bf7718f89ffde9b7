"""No search: every step as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...objectives.base import per_image
from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ..base import require_positive
from .base import Proposal, Search, SearchResult, first_trial, register_search


@register_search("fixed")
@dataclass(frozen=True)
class Fixed(Search):
    """The same step every time, unchecked: a run may diverge; the driver then returns the best iterate.

    Parameters
    ----------
    step_size : float, optional
        The step. Unless given, what the descent takes by itself (1 for a quasi-Newton direction), else the
        inverse of the curvature at the start.
    """

    needs: ClassVar[str] = "length"
    compares_values: ClassVar[bool] = False

    step_size: float | None = None

    def __post_init__(self) -> None:
        if self.step_size is not None:
            require_positive("step_size", self.step_size)

    def init(
        self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the step of each image."""
        trial = first_trial(objective, u, evaluation, self.step_size)
        return trial, trial.new_zeros(len(u), 0)

    def search(
        self,
        objective: Searchable,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Take the step."""
        step = proposal.first_or(trial) if self.step_size is None else trial
        point = u + per_image(step, u) * proposal.direction
        new = objective.evaluate(point)
        return SearchResult(point, new, step, torch.ones_like(proposal.last_resort)), trial, memory
