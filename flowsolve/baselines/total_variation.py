"""Total variation for any operator, its weight from the noise level."""

from __future__ import annotations

import torch

from ..functionals.total_variation import divergence, gradient
from ..operators import ValidBlur
from ..problem import InverseProblem
from .base import constant_fit, registry
from .unknown_boundary import masked_total_variation

#: Scale of the Laplacian law of gradients from which the weight follows; from validation faces.
TV_SCALE = 0.1

#: Bound of ‖∇‖² for forward differences in two dimensions.
GRADIENT = 8

#: Primal steps, images being in [0, 1]: where the data term is taken by its prox, and by its dual.
PRIMAL, PRIMAL_OF_DUAL = 0.05, 0.02


@registry.register("total-variation")
def total_variation(
    problem: InverseProblem, weight: float | None = None, iterations: int = 300
) -> torch.Tensor:
    """Total variation, its weight from the noise level (no truth).

    Minimises ½‖Ax − y‖² + weight · TV(x), or TV(x) subject to Ax = y where σ = 0, by the primal-dual
    method (Chambolle and Pock, J. Math. Imaging Vis. 2011); the gradient's length at a pixel runs over the
    three channels together. The data term is taken by its prox where the operator has a closed form, and
    else by its dual, which needs products with A and Aᵀ alone.

    Parameters
    ----------
    problem : InverseProblem
        Operator, measurements and noise level.
    weight : float, optional
        Default: σ² / `TV_SCALE`, the MAP weight where gradients are Laplacian with that scale.
    iterations : int
        Iterations; for a `ValidBlur`, which is solved by another method, `ITERATIONS` of it.
    """
    weight = problem.sigma**2 / TV_SCALE if weight is None else weight
    if isinstance(problem.operator, ValidBlur):
        return masked_total_variation(problem, weight)
    if problem.operator.has_closed_form:
        return _by_prox(problem, weight, iterations)
    return _by_dual(problem, weight, iterations)


def _by_prox(problem: InverseProblem, weight: float, iterations: int) -> torch.Tensor:
    operator, y = problem.operator, problem.y
    # The objective is divided by weight, so that the steps need not know it: data term / weight + TV.
    tau = PRIMAL / weight if weight > 0 else float("inf")
    x = operator.prox_l2(constant_fit(problem), y, tau)
    ahead, field = x, gradient(torch.zeros_like(x))
    for _ in range(iterations):
        field = _within_balls(field + gradient(ahead) / (GRADIENT * PRIMAL))
        new = operator.prox_l2(x + PRIMAL * divergence(field), y, tau)
        x, ahead = new, 2 * new - x
    return x


def _by_dual(problem: InverseProblem, weight: float, iterations: int) -> torch.Tensor:
    """Return the same minimiser from A and Aᵀ, with a dual variable for the data term too.

    Both dual variables have steps of their own, which share what the primal step leaves (Pock and Chambolle,
    ICCV 2011): step · ‖∇‖² and step · ‖A‖² are each half of 1 / `PRIMAL_OF_DUAL`.
    """
    operator, y = problem.operator, problem.y
    # A norm that is an estimate comes out a little too small.
    norm = max((1.02 * operator.lipschitz) ** 2, torch.finfo(y.dtype).tiny)
    for_field, for_data = (0.5 / (PRIMAL_OF_DUAL * squared) for squared in (GRADIENT, norm))
    x = constant_fit(problem)
    ahead, field, data = x, gradient(torch.zeros_like(x)), torch.zeros_like(y)
    for _ in range(iterations):
        field = _within_balls(field + for_field * gradient(ahead))
        data = (data + for_data * (operator.apply(ahead) - y)) / (1 + for_data * weight)
        new = x + PRIMAL_OF_DUAL * (divergence(field) - operator.adjoint(data))
        x, ahead = new, 2 * new - x
    return x


def _within_balls(field: torch.Tensor) -> torch.Tensor:
    """Return the field with vectors longer than 1 shortened to 1."""
    return field / field.square().sum((0, 2), keepdim=True).sqrt().clamp(min=1)
