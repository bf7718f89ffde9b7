"""Spectral steps for gradient descent, made safe by a non-monotone search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...objectives.base import inner, sum_squares
from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ..base import require_choice, require_count, require_positive
from .armijo import armijo
from .base import Proposal, Search, SearchResult, first_trial, register_search


@register_search("barzilai-borwein")
@dataclass(frozen=True)
class BarzilaiBorwein(Search):
    """Spectral steps (Barzilai & Borwein, 1988) with a non-monotone safeguard (Raydan, 1997).

    With s the last move and y the change of the gradient along it, ``long`` is ⟨s, s⟩/⟨s, y⟩, ``short``
    ⟨s, y⟩/⟨y, y⟩, and ``alternating`` the one and the other in turn (Dai & Fletcher, 2005). Gradients of a
    flow jump at its rectifiers, which short steps answer by shrinking further: alone they may stand still.

    Parameters
    ----------
    spectral : {"long", "short", "alternating"}
        Which step.
    step_size : float, optional
        First step; unless given, the inverse of the curvature at the start.
    sufficient_decrease : float
        c₁ of the safeguard.
    memory : int
        Values the safeguard looks back on.
    max_trials : int
        Evaluations an image may spend on one search.
    """

    needs: ClassVar[str] = "gradient"

    spectral: str = "long"
    step_size: float | None = None
    sufficient_decrease: float = 1e-4
    memory: int = 10
    max_trials: int = 30

    def __post_init__(self) -> None:
        require_choice("spectral", self.spectral, ("long", "short", "alternating"))
        if self.step_size is not None:
            require_positive("step_size", self.step_size)
        require_positive("sufficient_decrease", self.sufficient_decrease, below=1)
        require_count("memory", self.memory)
        require_count("max_trials", self.max_trials)

    def init(
        self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first step, the value at the start as all recent ones, and whose turn it is."""
        trial = first_trial(objective, u, evaluation, self.step_size)
        recent = evaluation.value[:, None].repeat(1, self.memory)
        return trial, torch.cat([recent, torch.zeros_like(recent[:, :1])], 1)

    def search(
        self,
        objective: Searchable,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Backtrack from the spectral step until F is below the largest of its recent values."""
        found = armijo(
            objective,
            u,
            evaluation,
            proposal.direction,
            trial,
            reference=memory[:, :-1].amax(1),
            sufficient_decrease=self.sufficient_decrease,
            max_trials=self.max_trials,
        )
        turn = memory[:, -1:]
        memory = torch.cat([memory[:, 1:-1], found.evaluation.value[:, None], 1 - turn], 1)
        assert found.evaluation.grad is not None and evaluation.grad is not None
        step = self._spectral_step(
            found.u - u, found.evaluation.grad - evaluation.grad, found.step, turn[:, 0]
        )
        return found, step, memory

    def _spectral_step(
        self, s: torch.Tensor, y: torch.Tensor, step: torch.Tensor, turn: torch.Tensor
    ) -> torch.Tensor:
        curvature = inner(s, y)
        long, short = sum_squares(s) / curvature, curvature / sum_squares(y)
        spectral = short if self.spectral == "short" else long
        if self.spectral == "alternating":
            spectral = torch.where(turn > 0, long, short)
        # Where the curvature along s is not positive the spectral step means nothing: lengthen the last one.
        return torch.where(curvature > 0, spectral.clamp(step / 100, step * 100), 2 * step)
