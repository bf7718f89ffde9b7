"""A quadratic model with a damping that the model's success decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...objectives.base import Evaluation, Objective
from ..base import require_count, require_positive
from .base import Proposal, Search, SearchResult, Trials, initial_step, register_search


@register_search("levenberg-marquardt")
@dataclass(frozen=True)
class LevenbergMarquardt(Search):
    """Damp the descent's model by μ/2 ‖move‖² (Levenberg, 1944; Marquardt, 1963), μ by Nielsen (1999).

    With ρ the decrease of F over the predicted one, a step with ρ ≥ `accept` is taken and
    μ ← μ max(1/3, 1 − (2ρ − 1)³); after a rejected one μ ← ν μ with ν = 2, 4, 8, ….

    Parameters
    ----------
    damping : float, optional
        First μ; unless given, a thousandth of the curvature at the start.
    accept : float
        Part of the predicted decrease that a step must bring.
    max_trials : int
        Evaluations an image may spend on one iteration.
    """

    needs: ClassVar[str] = "damping"

    damping: float | None = None
    accept: float = 1e-4
    max_trials: int = 20

    #: First damping, relative to the curvature along the gradient.
    RELATIVE = 1e-3

    def __post_init__(self) -> None:
        if self.damping is not None:
            require_positive("damping", self.damping)
        require_positive("accept", self.accept, below=0.25)
        require_count("max_trials", self.max_trials)

    def init(
        self, objective: Objective, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first μ of each image; nothing else is remembered."""
        if self.damping is not None:
            damping = torch.full_like(evaluation.value, self.damping)
        else:
            damping = self.RELATIVE / initial_step(objective, u, evaluation)
        return damping, damping.new_zeros(len(u), 0)

    def search(
        self,
        objective: Objective,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Raise the damping until the model's minimiser is good enough."""
        assert proposal.damped is not None
        trials, damping = Trials(objective, u, evaluation), trial.clone()
        factor = torch.full_like(damping, 2.0)
        searching = torch.arange(len(u), device=u.device)
        for _ in range(self.max_trials):
            if len(searching) == 0:
                break
            i = searching
            move, predicted = proposal.damped(i, damping[i])
            point, new, finite = trials.evaluate(i, move)
            ratio = (evaluation.value[i] - new.value) / predicted
            good = finite & (predicted > 0) & (ratio >= self.accept)
            trials.accept(i, good, torch.ones_like(ratio), point, new)
            eased = damping[i] * (1 - (2 * ratio - 1) ** 3).clamp(min=1 / 3)
            damping[i] = torch.where(good, eased, factor[i] * damping[i])
            factor[i] = torch.where(good, factor[i], 2 * factor[i])
            searching = i[~good]
        # A search that failed has raised the damping beyond use: the next one starts from the last one.
        return trials.result, torch.where(trials.result.found, damping, trial), memory
