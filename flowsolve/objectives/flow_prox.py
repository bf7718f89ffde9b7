"""The proximal operator of the flow's energy over images, approximately.

No closed form exists, so a few iterations of L-BFGS are spent on lam φ(u) + ‖u − v‖²/(2τ), started at v.
Each costs a pass through the flow and back and is counted. The strongly convex quadratic keeps the problem
well conditioned for small τ; an error in the prox shows as a smaller decrease of F, which the monotone
safeguard of the solver watches over (inexact proximal steps: Schmidt, Le Roux & Bach, NeurIPS 2011).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from .base import per_image, sum_squares
from .evaluation import Evaluation

if TYPE_CHECKING:
    from .analysis import Analysis

#: Inner iterations of one proximal step.
ITERATIONS = 5


def flow_prox(
    objective: Analysis, v: torch.Tensor, tau: torch.Tensor, iterations: int = ITERATIONS
) -> torch.Tensor:
    """Return about argmin over u of lam φ(u) + ‖u − v‖²/(2 tau).

    Parameters
    ----------
    objective : Analysis
        Whose energy lam φ is meant.
    v : torch.Tensor, shape (N, C, H, W)
        Images.
    tau : torch.Tensor, shape (N,), float64
        Positive step of every image.
    iterations : int
        Iterations of L-BFGS.

    Returns
    -------
    torch.Tensor
        Of the kind of v; v itself for an image at which the energy is not finite.
    """
    from ..solvers.lbfgs import LBFGS

    sub = _Proximal(objective, v, tau)
    # Along minus the gradient τ is never far too long, and it saves the probe of the curvature. The quadratic
    # bends alike in all directions: other units would only spoil that.
    solver = LBFGS(history=iterations, scaling="none", step_size=1.0)
    state = solver.init(sub, v)
    state.trial = tau.clone()
    for _ in range(iterations):
        state = solver.step(sub, state)
    return state.u.detach()


class _Proximal:
    """lam φ(u) + ‖u − v‖²/(2τ): what a descent sees of an objective, no more."""

    def __init__(self, objective: Analysis, v: torch.Tensor, tau: torch.Tensor) -> None:
        self.objective, self.v, self.tau = objective, v, tau

    def __len__(self) -> int:
        return len(self.v)

    def require_smooth(self, who: str) -> None:
        """Accept: φ is smooth."""

    def count(self, *names: str) -> None:
        """Count for the images of the objective."""
        self.objective.count(*names)

    def select(self, index: torch.Tensor) -> _Proximal:
        """Return the problem of the images at `index`."""
        return _Proximal(self.objective.select(index), self.v[index], self.tau[index])

    def evaluate(self, u: torch.Tensor, *, gradient: bool = True) -> Evaluation:
        """Return value and gradient."""
        energy = self.objective._evaluate_prior(u, gradient)
        away = u - self.v
        value = energy.value + sum_squares(away) / (2 * self.tau)
        grad = None if energy.grad is None else energy.grad + away / per_image(self.tau, away)
        return dataclasses.replace(energy, value=value, grad=grad)
