"""Gauss–Newton without a matrix: a quadratic model, explored by conjugate gradients.

The model is that of `flowsolve.objectives.GaussNewton`: it has the exact gradient of F, and of its curvature
that of the data fidelity and of ‖z‖². The curvature of the flow is dropped, and with ``phi="nll"`` that of
the log-determinant too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..objectives.base import Objective, inner, per_image
from ..objectives.gauss_newton import GaussNewton as Model
from .base import State, register_solver, require_choice, require_count, require_positive, zeros
from .descent import DescentSolver, DescentState
from .pair_memory import PairMemory
from .searches import LevenbergMarquardt, Proposal, SearchResult, TrustRegion
from .truncated_cg import Preconditioner, Subspace, explore


@dataclass
class GaussNewtonState(DescentState):
    """State of Gauss–Newton: tolerance of the next inner solve, and what the preconditioner remembers.

    Attributes
    ----------
    forcing : torch.Tensor, shape (N,), float64
        Relative residual at which the next inner solve ends.
    diagonal : torch.Tensor, shape (N, d) or (N, 0)
        Running estimate of the model's diagonal.
    taken : torch.Tensor, shape (N,), int64
        Number of iterations: the seed of that estimate's next signs.
    pairs, gram, head, used : torch.Tensor
        Tensors of a `PairMemory`, without room where it is not the preconditioner.
    """

    forcing: torch.Tensor
    diagonal: torch.Tensor
    taken: torch.Tensor
    pairs: torch.Tensor
    gram: torch.Tensor
    head: torch.Tensor
    used: torch.Tensor


@dataclass
class _Explored(Proposal):
    """A proposal with the subspace it comes from."""

    subspace: Subspace | None = None
    diagonal: torch.Tensor | None = None


@register_solver("gauss_newton")
@dataclass(frozen=True, init=False)
class GaussNewton(DescentSolver):
    """Gauss-Newton, damped, in a trust region or with a line search; inner conjugate gradients, no matrix.

    One product with the model costs a forward and a reverse pass through the flow's derivative. The inner
    solves are truncated by the forcing terms of Eisenstat & Walker (1996, choice 2).

    Parameters
    ----------
    cg_iterations : int
        Most products of one inner solve.
    forcing : float
        Largest relative residual at which an inner solve may end.
    preconditioner : {"none", "diagonal", "lbfgs"}
        ``diagonal``: a running estimate of the model's diagonal, which costs one product an iteration (Bekas,
        Kokiopoulou & Saad, 2007). ``lbfgs``: L-BFGS with what the inner solves have seen (Morales & Nocedal,
        2000).
    history : int
        Pairs that the preconditioner ``lbfgs`` keeps.
    search : str or Search
        ``levenberg-marquardt`` unless given.
    **options
        Of the search.
    """

    state_type: ClassVar[type[State]] = GaussNewtonState
    offers: ClassVar[tuple[str, ...]] = ("direction", "length", "radius", "damping")
    default_search: ClassVar[str] = "levenberg-marquardt"

    cg_iterations: int = 20
    forcing: float = 0.5
    preconditioner: str = "none"
    history: int = 20

    #: Weight of the past in the running estimate of the diagonal.
    MEMORY = 0.9

    def check(self) -> None:
        """Check the options."""
        require_count("cg_iterations", self.cg_iterations)
        require_positive("forcing", self.forcing, below=1)
        require_choice("preconditioner", self.preconditioner, ("none", "diagonal", "lbfgs"))
        require_count("history", self.history)

    def start(self, objective: Objective, state: DescentState) -> GaussNewtonState:
        """Start with the largest forcing term and an empty preconditioner."""
        u = state.u
        room = self.history if self.preconditioner == "lbfgs" else 0
        size = u[0].numel() if self.preconditioner == "diagonal" else 0
        return GaussNewtonState(
            **vars(state),
            forcing=zeros(u) + self.forcing,
            diagonal=u.new_zeros(len(u), size),
            taken=torch.zeros(len(u), dtype=torch.int64, device=u.device),
            **vars(PairMemory.empty(u, room)),
        )

    def propose(self, objective: Objective, state: GaussNewtonState) -> Proposal:
        """Explore the model and return its minimiser, and those with a damping or within a radius."""
        grad = state.evaluation.grad
        assert grad is not None
        model = _Model(objective, state.u)
        diagonal = self._update_diagonal(model, state)
        nothing, everything = zeros(state.u), torch.full_like(state.trial, torch.inf)
        subspace = explore(
            model.product,
            grad.flatten(1),
            tolerance=state.forcing,
            damping=state.trial if isinstance(self.search, LevenbergMarquardt) else nothing,
            radius=state.trial if isinstance(self.search, TrustRegion) else everything,
            iterations=self.cg_iterations,
            precondition=self._preconditioner(state, diagonal),
        )
        whole = torch.arange(len(grad), device=grad.device)
        shape = state.u.shape[1:]
        direction, falls = subspace.damped(whole, nothing)
        direction = direction.reshape(grad.shape)
        lost = ~(torch.isfinite(falls) & (falls > 0) & (inner(direction, grad) < 0))
        direction = torch.where(per_image(lost, grad) > 0, -grad, direction)
        first = torch.where(lost, torch.nan, torch.ones_like(falls))

        def within(index: torch.Tensor, radius: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            move, predicted = subspace.within(index, radius)
            return move.reshape(-1, *shape), predicted

        def damped(index: torch.Tensor, damping: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            move, predicted = subspace.damped(index, damping)
            return move.reshape(-1, *shape), predicted

        last = lost if self.search.needs == "direction" else torch.ones_like(lost)
        return _Explored(direction, first, last, within, damped, subspace, diagonal)

    def advance(
        self, before: GaussNewtonState, proposal: Proposal, found: SearchResult, after: DescentState
    ) -> GaussNewtonState:
        """Choose the next forcing term and give the preconditioner what the inner solve has seen."""
        assert isinstance(proposal, _Explored) and proposal.subspace is not None
        assert proposal.diagonal is not None
        memory = PairMemory(before.pairs, before.gram, before.head, before.used)
        if self.preconditioner == "lbfgs":
            explored = proposal.subspace
            for k in range(explored.directions.shape[1]):
                memory.remember(explored.directions[:, k], explored.products[:, k])
        # Eisenstat & Walker's choice 2 with γ = 0.9, α = 2, and their safeguard.
        forcing = 0.9 * (after.grad_norm / before.grad_norm).square()
        safeguard = 0.9 * before.forcing.square()
        forcing = torch.where(safeguard > 0.1, torch.maximum(forcing, safeguard), forcing)
        forcing = torch.where(found.found, forcing.nan_to_num(self.forcing), before.forcing)
        return GaussNewtonState(
            **vars(after),
            forcing=forcing.clamp(max=self.forcing),
            diagonal=proposal.diagonal,
            taken=before.taken + 1,
            **vars(memory),
        )

    def _update_diagonal(self, model: _Model, state: GaussNewtonState) -> torch.Tensor:
        """Return the running mean of the diagonal with one more sample, where it is the preconditioner."""
        if self.preconditioner != "diagonal":
            return state.diagonal
        # An image's signs depend on its own count only: inside a continuation images start anew one by one.
        sample = torch.zeros_like(state.diagonal)
        for count in state.taken.unique():
            signs = model.whole.diagonal_estimate(1, seed=int(count)).flatten(1).abs()
            sample = torch.where(per_image(state.taken == count, sample) > 0, signs, sample)
        sample = sample.nan_to_num(0.0, 0.0, 0.0)
        return torch.where(
            per_image(state.taken, sample) > 0,
            self.MEMORY * state.diagonal + (1 - self.MEMORY) * sample,
            sample,
        )

    def _preconditioner(self, state: GaussNewtonState, diagonal: torch.Tensor) -> Preconditioner | None:
        if self.preconditioner == "none":
            return None
        if self.preconditioner == "diagonal":
            damping = per_image(state.trial, diagonal) if self.search.needs == "damping" else 0.0
            # A sample may be near 0 by chance; its mean cannot be far off.
            floor = 0.1 * diagonal.mean(1, keepdim=True)
            inverse = 1 / (torch.maximum(diagonal, floor) + damping).clamp(
                min=torch.finfo(diagonal.dtype).tiny
            )
            return lambda index, r: inverse[index] * r

        def multiply(index: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
            return PairMemory(
                state.pairs[index], state.gram[index], state.head[index], state.used[index]
            ).multiply(r)

        return multiply


class _Model:
    """Products with the model of some images of a batch.

    The flow is recorded for a batch once. When half of its images have left the inner solve, the others are
    recorded again as a smaller batch, which costs about as much as one product and saves half of each.
    """

    def __init__(self, objective: Objective, u: torch.Tensor) -> None:
        self.objective, self.u = objective, u
        self.whole = self.current = Model(objective, u)
        self.index = torch.arange(len(u), device=u.device)

    def product(self, index: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return B v, shape (n, d), for the images at `index`."""
        if 2 * len(index) <= len(self.index):
            self.index = index
            self.current = Model(self.objective.select(index), self.u[index])
        full = self.u.new_zeros(len(self.index), v.shape[1])
        rows = torch.searchsorted(self.index, index)
        full[rows] = v
        shaped = full.reshape(len(full), *self.u.shape[1:])
        return self.current.matvec(shaped).flatten(1)[rows]
