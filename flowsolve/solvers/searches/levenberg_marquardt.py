"""A quadratic model with a damping that the model's success decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ..base import require_positive
from .base import Proposal, initial_step, register_search
from .model_search import ModelSearch


@register_search("levenberg-marquardt")
@dataclass(frozen=True)
class LevenbergMarquardt(ModelSearch):
    """Damp the descent's model by μ/2 ‖move‖² (Levenberg, 1944; Marquardt, 1963), μ by Nielsen (1999).

    With ρ the decrease of F over the predicted one, a step with ρ ≥ `accept` is taken and
    μ ← μ max(1/3, 1 − (2ρ − 1)³); after a rejected one μ ← ν μ with ν = 2, 4, 8, ….

    Parameters
    ----------
    accept : float
        Part of the predicted decrease that a step must bring.
    max_trials : int
        Evaluations an image may spend on one iteration.
    damping : float, optional
        First μ; unless given, a thousandth of the curvature at the start.
    """

    needs: ClassVar[str] = "damping"

    damping: float | None = None

    #: First damping, relative to the curvature along the gradient.
    RELATIVE = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.damping is not None:
            require_positive("damping", self.damping)

    def init(
        self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first μ of each image; nothing else is remembered."""
        if self.damping is not None:
            damping = torch.full_like(evaluation.value, self.damping)
        else:
            damping = self.RELATIVE / initial_step(objective.evaluate, u, evaluation)
        return damping, damping.new_zeros(len(u), 0)

    def minimiser(
        self, proposal: Proposal, index: torch.Tensor, limit: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the damped model's minimiser, a step of 1; see `ModelSearch.minimiser`."""
        assert proposal.damped is not None
        move, predicted = proposal.damped(index, limit)
        return move, predicted, torch.ones_like(predicted)

    def revise(
        self, limit: torch.Tensor, ratio: torch.Tensor, step: torch.Tensor, good: torch.Tensor, rejected: int
    ) -> torch.Tensor:
        """Return the next μ; see `ModelSearch.revise`."""
        eased = limit * (1 - (2 * ratio - 1) ** 3).clamp(min=1 / 3)
        return torch.where(good, eased, 2.0 ** (rejected + 1) * limit)
