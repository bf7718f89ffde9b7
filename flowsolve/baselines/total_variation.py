"""Total variation for any operator, its weight from the noise level."""

from __future__ import annotations

import math

import torch

from ..functionals.total_variation import divergence, gradient
from ..operators import ValidBlur
from ..operators.iterative import conjugate_gradient
from ..problem import InverseProblem
from .base import constant_fit, registry
from .unknown_boundary import masked_total_variation

#: Scale of the Laplacian law of gradients from which the weight follows; from validation faces.
TV_SCALE = 0.1


STEPS, RESIDUAL = 10, 0.02
"""Conjugate-gradient steps of a data step without closed form, and the relative residual at which they end:
each begins where the last iteration was."""


@registry.register("total-variation")
def total_variation(
    problem: InverseProblem, weight: float | None = None, iterations: int = 300
) -> torch.Tensor:
    """Total variation, its weight from the noise level (no truth).

    Minimises ½‖Ax − y‖² + weight · TV(x), or TV(x) subject to Ax = y where σ = 0, by the primal-dual
    method with the data term's prox (Chambolle and Pock, J. Math. Imaging Vis. 2011); the gradient's
    length at a pixel runs over the three channels together.

    Parameters
    ----------
    problem : InverseProblem
        Operator, measurements and noise level.
    weight : float, optional
        Default: σ² / `TV_SCALE`, the MAP weight where gradients are Laplacian with that scale.
    iterations : int
        Iterations; for a `ValidBlur`, which is solved by another method, `ITERATIONS` of it.
    """
    operator, y = problem.operator, problem.y
    weight = problem.sigma**2 / TV_SCALE if weight is None else weight
    if isinstance(operator, ValidBlur):
        return masked_total_variation(problem, weight)
    # The objective is divided by weight, so that the steps need not know it: data term / weight + TV.
    primal = 0.05
    dual = 1 / (8 * primal)
    tau = primal / weight if weight > 0 else float("inf")
    x = operator.prox_l2(constant_fit(problem), y, tau)
    ahead, field = x, gradient(torch.zeros_like(x))
    for _ in range(iterations):
        field = field + dual * gradient(ahead)
        field = field / field.square().sum((0, 2), keepdim=True).sqrt().clamp(min=1)
        new = _data_step(problem, x + primal * divergence(field), x, tau)
        x, ahead = new, 2 * new - x
    return x


def _data_step(problem: InverseProblem, v: torch.Tensor, near: torch.Tensor, tau: float) -> torch.Tensor:
    """Return argmin over x of ½‖Ax − y‖² + ‖x − v‖²/(2 tau), exact in closed form, else from `near` on."""
    operator, y = problem.operator, problem.y
    if operator.has_closed_form or math.isinf(tau):
        return operator.prox_l2(v, y, tau)
    right = operator.adjoint(y - operator.apply(near)) + (v - near) / tau
    found = conjugate_gradient(
        lambda d: operator.adjoint(operator.apply(d)) + d / tau,
        right,
        ndim=len(operator.dim_shape),
        max_iter=STEPS,
        tol=RESIDUAL,
    )
    return near + found.x
