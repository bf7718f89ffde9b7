"""What searches share that follow a quadratic model of F as far as it has proved right."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ..base import require_count, require_positive
from .base import Proposal, Search, SearchResult, Trials


@dataclass(frozen=True)
class ModelSearch(Search):
    """Minimise the descent's model under a limit, and revise the limit by how F compares with the model.

    With ρ the decrease of F over the predicted one, a move with ρ ≥ `accept` is taken; after another one the
    model is minimised again under the revised limit. A subclass says what the limit is.

    Parameters
    ----------
    accept : float
        Part of the predicted decrease that a move must bring, below 0.25.
    max_trials : int
        Evaluations an image may spend on one iteration.
    """

    accept: float = 1e-4
    max_trials: int = 20

    def __post_init__(self) -> None:
        require_positive("accept", self.accept, below=0.25)
        require_count("max_trials", self.max_trials)

    @abstractmethod
    def minimiser(
        self, proposal: Proposal, index: torch.Tensor, limit: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the model's minimiser under the limit, for the images at `index`.

        Returns
        -------
        move : torch.Tensor, shape (len(index), ...)
            From u.
        predicted : torch.Tensor, shape (len(index),), float64
            By how much the model falls.
        step : torch.Tensor, shape (len(index),), float64
            What to record as the step.
        """

    @abstractmethod
    def revise(
        self, limit: torch.Tensor, ratio: torch.Tensor, step: torch.Tensor, good: torch.Tensor, rejected: int
    ) -> torch.Tensor:
        """Return the next limit.

        Parameters
        ----------
        limit, ratio, step : torch.Tensor, shape (n,), float64
            The limit of a trial, its ρ, and its step.
        good : torch.Tensor, shape (n,), bool
            Whether the move is taken.
        rejected : int
            Moves of this iteration that were rejected before.
        """

    def search(
        self,
        objective: Searchable,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Tighten the limit until the model's minimiser is good enough."""
        trials, limit = Trials(objective, u, evaluation), trial.clone()
        searching = torch.arange(len(u), device=u.device)
        for rejected in range(self.max_trials):
            if len(searching) == 0:
                break
            i = searching
            move, predicted, step = self.minimiser(proposal, i, limit[i])
            point, new, finite = trials.evaluate(i, move)
            ratio = (evaluation.value[i] - new.value) / predicted
            good = finite & (predicted > 0) & (ratio >= self.accept)
            trials.accept(i, good, step, point, new)
            limit[i] = self.revise(limit[i], ratio, step, good, rejected)
            searching = i[~good]
        # A search that failed has tightened the limit beyond use: the next one starts from the last one.
        return trials.result, torch.where(trials.result.found, limit, trial), memory
