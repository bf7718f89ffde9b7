"""Limited-memory BFGS with a strong Wolfe search, every image with its own memory.

The two-loop recursion runs on coefficients of the basis {s₁…s_m, y₁…y_m, g} (Chen, Wang & Zhou, "Large-scale
L-BFGS using MapReduce", NeurIPS 2014): an iteration reads the stored pairs twice, in batched matrix products,
instead of once for every pair and loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..linesearch import initial_step, strong_wolfe
from ..objectives.base import Evaluation, Objective, inner, sum_squares
from .base import Solver, State, register_solver, require_positive, zeros


@dataclass
class LBFGSState(State):
    """State of L-BFGS.

    Attributes
    ----------
    pairs : torch.Tensor, shape (N, 2 m, d)
        The last m steps s, then the last m gradient differences y, as a ring.
    gram : torch.Tensor, shape (N, 2 m, 2 m), float64
        Inner products of `pairs`.
    head, used : torch.Tensor, shape (N,), int64
        Where the next pair goes, and how many there are.
    trial : torch.Tensor, shape (N,), float64
        First trial step where the memory is empty.
    """

    pairs: torch.Tensor
    gram: torch.Tensor
    head: torch.Tensor
    used: torch.Tensor
    trial: torch.Tensor


@register_solver("lbfgs")
@dataclass(frozen=True)
class LBFGS(Solver):
    """L-BFGS: quasi-Newton with a strong Wolfe line search (Nocedal & Wright, 2006, algorithm 7.5).

    Parameters
    ----------
    history : int
        Number m of pairs kept for each image.
    sufficient_decrease, curvature : float
        Constants c₁ and c₂ of the Wolfe conditions.
    max_trials : int
        Evaluations an image may spend on one search.
    """

    state_type = LBFGSState

    history: int = 20
    sufficient_decrease: float = 1e-4
    curvature: float = 0.9
    max_trials: int = 20

    def __post_init__(self) -> None:
        require_positive("history", self.history)
        require_positive("curvature", self.curvature, below=1)
        require_positive("sufficient_decrease", self.sufficient_decrease, below=self.curvature)
        require_positive("max_trials", self.max_trials)

    def init(self, objective: Objective, u: torch.Tensor) -> LBFGSState:
        """Evaluate the start; the memory is empty."""
        objective.require_smooth("lbfgs")
        evaluation = objective.evaluate(u)
        assert evaluation.grad is not None
        n, m = len(u), self.history
        return LBFGSState(
            u,
            evaluation,
            zeros(u),
            sum_squares(evaluation.grad).sqrt(),
            zeros(u).bool(),
            pairs=u.new_zeros(n, 2 * m, u[0].numel()),
            gram=u.new_zeros(n, 2 * m, 2 * m, dtype=torch.float64),
            head=torch.zeros(n, dtype=torch.int64, device=u.device),
            used=torch.zeros(n, dtype=torch.int64, device=u.device),
            trial=initial_step(objective, u, evaluation),
        )

    def step(self, objective: Objective, state: State) -> LBFGSState:
        """Take one quasi-Newton step; a failed search empties the image's memory and is tried once more."""
        assert isinstance(state, LBFGSState) and state.evaluation.grad is not None
        direction = self._direction(state, state.evaluation.grad)
        first = torch.where(state.used > 0, torch.ones_like(state.trial), state.trial)
        found = strong_wolfe(
            objective,
            state.u,
            state.evaluation,
            direction,
            first,
            sufficient_decrease=self.sufficient_decrease,
            curvature=self.curvature,
            max_trials=self.max_trials,
        )
        # With an empty memory the direction was steepest descent: nothing is left to try.
        failed = ~found.found & (state.used == 0)
        state.used[~found.found] = 0
        self._remember(state, found.u - state.u, found.evaluation)
        assert found.evaluation.grad is not None
        return LBFGSState(
            found.u,
            found.evaluation,
            found.step,
            sum_squares(found.evaluation.grad).sqrt(),
            failed,
            state.pairs,
            state.gram,
            state.head,
            state.used,
            state.trial,
        )

    def _direction(self, state: LBFGSState, grad: torch.Tensor) -> torch.Tensor:
        """Return −H∇F by the two-loop recursion on coefficients."""
        m, rows = self.history, torch.arange(len(grad), device=grad.device)
        flat = grad.flatten(1)
        against_grad = torch.bmm(state.pairs, flat[:, :, None])[:, :, 0].double()
        # Coefficients over the pairs; the gradient's own coefficient is kept apart.
        c = torch.zeros_like(against_grad)
        c_grad = -torch.ones(len(grad), dtype=torch.float64, device=grad.device)
        alphas = []
        longest = int(state.used.max())
        for back in range(1, longest + 1):
            s = (state.head - back) % m
            valid = back <= state.used
            along = (c * state.gram[rows, s]).sum(1) + c_grad * against_grad[rows, s]
            alpha = torch.where(valid, along / state.gram[rows, s, s + m], 0.0)
            c[rows, s + m] -= alpha
            alphas.append(alpha)
        last = (state.head - 1) % m
        gamma = state.gram[rows, last, last + m] / state.gram[rows, last + m, last + m]
        gamma = torch.where(state.used > 0, gamma, 1.0)
        c, c_grad = c * gamma[:, None], c_grad * gamma
        for back in range(longest, 0, -1):
            s = (state.head - back) % m
            valid = back <= state.used
            along = (c * state.gram[rows, s + m]).sum(1) + c_grad * against_grad[rows, s + m]
            beta = torch.where(valid, along / state.gram[rows, s, s + m], 0.0)
            c[rows, s] += alphas[back - 1] - beta
        step = torch.bmm(c[:, None].to(flat.dtype), state.pairs)[:, 0] + c_grad[:, None].to(flat.dtype) * flat
        direction = step.reshape(grad.shape)
        # Rounding can spoil the recursion: where it gave no finite descent direction, take steepest descent.
        slope = inner(direction, grad)
        bad = ~(torch.isfinite(slope) & (slope < 0))
        state.used[bad] = 0
        direction[bad] = -grad[bad]
        return direction

    def _remember(self, state: LBFGSState, s: torch.Tensor, evaluation: Evaluation) -> None:
        """Store the pair (s, y) of the images whose curvature ⟨s, y⟩ is safely positive."""
        assert evaluation.grad is not None and state.evaluation.grad is not None
        y = evaluation.grad - state.evaluation.grad
        curvature = inner(s, y)
        keep = curvature > 1e-10 * (sum_squares(s) * sum_squares(y)).sqrt()
        rows = keep.nonzero()[:, 0]
        if len(rows) == 0:
            return
        m, head = self.history, state.head[rows]
        state.pairs[rows, head] = s.flatten(1)[rows]
        state.pairs[rows, head + m] = y.flatten(1)[rows]
        new = torch.stack([s.flatten(1), y.flatten(1)], 2)
        products = torch.bmm(state.pairs, new).double()[rows]
        for offset, column in ((0, products[:, :, 0]), (m, products[:, :, 1])):
            state.gram[rows, :, head + offset] = column
            state.gram[rows, head + offset, :] = column
        state.head[rows] = (head + 1) % m
        state.used[rows] = (state.used[rows] + 1).clamp(max=m)
