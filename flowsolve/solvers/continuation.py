"""λ-continuation: minimise with one weight of the prior after another, each from where the last one ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ArgumentError, UnsupportedError
from ..objectives.base import Objective
from ..objectives.evaluation import Evaluation
from .base import (
    Solver,
    State,
    inner_solver,
    register_solver,
    require_positive,
    solvers_taking,
    zeros,
)

#: Iterations over which a stage must have lowered its own F.
WINDOW = 5


@dataclass
class ContinuationState(State):
    """State of continuation.

    Attributes
    ----------
    inner : State
        State of the solver on F with the weight of the present stage.
    ahead : torch.Tensor, shape (N,), int64
        Stages still to come.
    taken : torch.Tensor, shape (N,), int64
        Iterations in this stage.
    lam : torch.Tensor, shape (N,), float64
        Weight of this stage.
    recent : torch.Tensor, shape (N, `WINDOW` + 1), float64
        Last values of the stage's F.
    """

    inner: State
    ahead: torch.Tensor
    taken: torch.Tensor
    lam: torch.Tensor
    recent: torch.Tensor

    def columns(self) -> dict[str, torch.Tensor]:
        """Return ``lam``, the weight of each image's stage, and what the inner solver records."""
        return {"lam": self.lam} | self.inner.columns()

    def provisional(self) -> torch.Tensor:
        """Return which images have stages ahead."""
        return self.ahead > 0


@register_solver("continuation")
@dataclass(frozen=True)
class Continuation(Solver):
    """Continuation: any solver on a sequence of weights lam, each stage from the end of the last.

    A larger lam first keeps a descent close to the prior until the data term has shaped the image; a smaller
    one first fits the data and then regularises. The trace and the best iterate are in terms of the
    objective's own lam throughout; the column ``lam`` says which weight was minimised.

    Parameters
    ----------
    inner : str, Solver or mapping
        Solver of every stage: a name, a solver, or ``{"name": ..., "options": {...}}``.
    factors : sequence of float
        Weights of the stages, as multiples of the objective's lam; after them comes lam itself.
    iterations : int
        Iterations of a stage at most. The last stage has no limit of its own.
    rtol : float
        A stage ends when its F fell by less than rtol · max(1, |F|) over the last 5 iterations.

    Raises
    ------
    UnsupportedError
        At the start, if the prior has no weight: with a hard constraint, or lam = 0.
    """

    state_type = ContinuationState
    takes_constraint = False

    inner: str | Solver | Mapping[str, Any] = "lbfgs"
    factors: Sequence[float] = (100.0, 10.0)
    iterations: int = 25
    rtol: float = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", inner_solver(self.inner))
        if isinstance(self.factors, str | int | float) or len(self.factors) == 0:
            raise ArgumentError(
                "factors", repr(self.factors), "a sequence of numbers > 0, for example (100, 10)"
            )
        for factor in self.factors:
            require_positive("factors", factor)
        object.__setattr__(self, "factors", [float(factor) for factor in self.factors])
        require_positive("iterations", self.iterations)
        require_positive("rtol", self.rtol, zero=True)

    @property
    def solver(self) -> Solver:
        """The solver of every stage."""
        assert isinstance(self.inner, Solver)
        return self.inner

    def nested(self) -> dict[str, Solver]:
        """Return the solver of the stages."""
        return {"inner": self.solver}

    def init(self, objective: Objective, u: torch.Tensor) -> ContinuationState:
        """Start the first stage at u."""
        _require_weight(objective)
        ahead = torch.full((len(u),), len(self.factors), dtype=torch.int64, device=u.device)
        lam = self._lam(objective, ahead)
        inner = self.solver.init(objective.with_lam(lam), u)
        recent = torch.full((len(u), WINDOW + 1), torch.inf, dtype=torch.float64, device=u.device)
        recent[:, -1] = inner.evaluation.value
        return self._state(objective, inner, ahead, zeros(u).long(), lam, recent)

    def step(self, objective: Objective, state: State) -> ContinuationState:
        """Take one step of the inner solver, and go on to the next stage where this one is done."""
        assert isinstance(state, ContinuationState)
        going = (state.ahead > 0).any()
        inner = self.solver.step(objective.with_lam(state.lam) if going else objective, state.inner)
        value, taken = inner.evaluation.value, state.taken + 1
        recent = torch.cat([state.recent[:, 1:], value[:, None]], 1)
        settled = recent[:, 0] - value <= self.rtol * value.abs().clamp(min=1)
        done = (state.ahead > 0) & (settled | inner.failed | (taken >= self.iterations))
        new = self._state(objective, inner, state.ahead, taken, state.lam, recent)
        return self._advance(objective, new, done.nonzero()[:, 0]) if done.any() else new

    def _advance(
        self, objective: Objective, state: ContinuationState, index: torch.Tensor
    ) -> ContinuationState:
        """Start the next stage of the images at `index` from where they are."""
        state.ahead[index] -= 1
        lam = self._lam(objective, state.ahead)
        u = state.inner.u[index].clone()
        fresh = self.solver.init(objective.select(index).with_lam(lam[index]), u)
        state.inner.put(index, fresh)
        state.taken[index], state.recent[index] = 0, torch.inf
        state.recent[index, -1] = fresh.evaluation.value
        return self._state(objective, state.inner, state.ahead, state.taken, lam, state.recent)

    def _lam(self, objective: Objective, ahead: torch.Tensor) -> torch.Tensor:
        """Return the weight of each image's stage, shape (N,), float64."""
        factors = torch.tensor([1.0, *reversed(list(self.factors))], dtype=torch.float64, device=ahead.device)
        return factors[ahead] * objective.weight

    def _state(
        self,
        objective: Objective,
        inner: State,
        ahead: torch.Tensor,
        taken: torch.Tensor,
        lam: torch.Tensor,
        recent: torch.Tensor,
    ) -> ContinuationState:
        evaluation = _reweighted(inner.evaluation, lam, objective, ahead > 0)
        failed = inner.failed & (ahead == 0)
        return ContinuationState(
            inner.u, evaluation, inner.step, inner.grad_norm, failed, inner, ahead, taken, lam, recent
        )


def _reweighted(
    evaluation: Evaluation, lam: torch.Tensor, objective: Objective, where: torch.Tensor
) -> Evaluation:
    """Return an evaluation with the weights lam as one of `objective`, at no cost: its terms are known."""
    change = objective.weigh(evaluation.prior) - lam * evaluation.prior
    return dataclasses.replace(
        evaluation, value=torch.where(where, evaluation.value + change, evaluation.value)
    )


def _require_weight(objective: Objective) -> None:
    able = ", ".join(solvers_taking("constraint"))
    if objective.constrained:
        raise UnsupportedError(
            "continuation: with the hard constraint Ax = y (sigma = 0 with lam='map') the prior has no "
            f"weight; give a number for lam, or use one of {able}"
        )
    if not bool((torch.as_tensor(objective.weight) > 0).all()):
        raise UnsupportedError(
            f"continuation: multiples of lam = 0 are all alike; give lam > 0, or use one of {able}"
        )
