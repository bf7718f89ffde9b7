"""Products of the Hessian with a vector, for the Newton methods of other libraries.

Exact for flowsolve's own objectives, by differentiating the gradient a second time; elsewhere a central
difference of gradients. Unlike the Gauss–Newton operator they keep the curvature of the flow, so the Hessian
may be indefinite.
"""

from __future__ import annotations

import torch

from ...objectives import Objective
from ...objectives.base import per_image, sum_squares


def hessian_product(objective: Objective, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return ∇²F(u) v of every image.

    Parameters
    ----------
    objective : Objective
        Without an `extra` term. `Analysis` and `Synthesis` themselves have exact products; others, phi
        ``smoothed``, and classes derived from these, get a central difference, whose error is about ε^(2/3),
        ε being the rounding of the gradient.
    u, v : torch.Tensor, shape (N, ...)
        Point and vector.

    Returns
    -------
    torch.Tensor
        Of the shape and dtype of u.

    Notes
    -----
    Either way counts as two evaluations with their gradients, which is about what it takes.
    """
    if isinstance(objective, Objective) and objective.of_pair:
        return _exact(objective, u, v)
    return _central_difference(objective, u, v)


def _exact(objective: Objective, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    leaf = u.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = _value(objective, leaf)
        (grad,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        (product,) = torch.autograd.grad(grad, leaf, v)
    # The second reverse pass runs through the map and through its first reverse pass.
    letter = objective.map
    objective.count("evaluations", "gradients", letter, f"vjp_{letter}", "A", "AT")
    objective.count("evaluations", "gradients", f"jvp_{letter}", f"vjp_{letter}", "A", "AT")
    return product.detach()


def _value(objective: Objective, u: torch.Tensor) -> torch.Tensor:
    """Return F(u), shape (N,), as a function that torch can differentiate twice."""
    x, z, volume = objective.pair(u)
    value = objective.weigh(objective._energy(z) + volume)
    return value if objective.constrained else value + objective.data_value(x)


def _central_difference(objective: Objective, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    length = sum_squares(v).sqrt()
    # The step that balances rounding and truncation: the cube root of the precision, relative to u.
    reach = torch.finfo(u.dtype).eps ** (1 / 3) * (1 + sum_squares(u).sqrt())
    step = torch.where(length > 0, reach / length, 0.0)
    ahead, behind = (objective.evaluate(u + sign * per_image(step, u) * v).grad for sign in (1, -1))
    assert ahead is not None and behind is not None
    return (ahead - behind) / per_image(torch.where(step > 0, 2 * step, 1.0), u)
