"""Images and latents as two spaces of one objective: its formulation in each, and the way between them."""

from __future__ import annotations

import torch

from ..errors import UnsupportedError
from ..objectives.base import Objective, sum_squares
from .base import solvers_taking

IMAGES, LATENTS = 0, 1
SIDES = ("images", "latents")


def own_space(objective: Objective) -> int:
    """Return the space of the objective's own variable."""
    return SIDES.index(objective.space)


def both_spaces(objective: Objective) -> tuple[Objective, Objective]:
    """Return the analysis and the synthesis objective of the same F, one of which is `objective`.

    Raises
    ------
    UnsupportedError
        If there are no two formulations of the same F.
    """
    who = "hybrid: goes between images and latents on one F"
    objective.require_smooth("hybrid")
    if objective.constrained:
        raise UnsupportedError(
            f"{who}, but the hard constraint Ax = y (sigma = 0 with lam='map') exists over images only; "
            f"give a number for lam, or use one of {', '.join(solvers_taking('constraint'))}"
        )
    try:
        other = objective.counterpart()
    except UnsupportedError as error:
        raise UnsupportedError(f"{who}; {error}") from None
    return (objective, other) if own_space(objective) == IMAGES else (other, objective)


def cross(objective: Objective, u: torch.Tensor, space: int) -> torch.Tensor:
    """Return what stands in the other space for the variable u of `space`."""
    with torch.no_grad():
        objective.count("E" if space == IMAGES else "D")
        return objective.flow.encode(u) if space == IMAGES else objective.flow.decode(u)


def there_and_back(objective: Objective, u: torch.Tensor, space: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what stands in the other space for the variable u of `space`, and where it leads back to u.

    Where a flow overflows, or is not continuous, it does not, and F is not the same in both spaces.
    """
    other = cross(objective, u, space)
    error = sum_squares(cross(objective, other, 1 - space) - u)
    scale = sum_squares(u) + u[0].numel()
    return other, error.sqrt() <= torch.finfo(u.dtype).eps ** 0.5 * scale.sqrt()


def lasting_space(objective: Objective) -> int:
    """Return the space in which F is expected to get lowest in the long run.

    It is that of images, but for an objective over latents with ``nll`` of a flow that preserves volume:
    its log-determinant goes on falling over latents when over images F has all but stopped. An objective
    over images has no use for that: where it gets so low, the flow does not lead back to the image.
    """
    steady = objective.latent_term.needs_log_det and objective.flow.preserves_volume
    return LATENTS if steady and own_space(objective) == LATENTS else IMAGES


def promising_space(objective: Objective) -> torch.Tensor:
    """Return the space in which F of each image should fall first from z = 0, shape (N,), int64.

    It is the `lasting_space`, unless the data term bends alike in most directions of an image
    (`measured_share`). Then the other space is worth the first tens of iterations: over latents those shape
    what is not measured, and over images they fit what is.
    """
    n, device, lasting = len(objective), objective.problem.y.device, lasting_space(objective)
    if lasting == IMAGES and objective.latent_term.eases_images:
        return torch.full((n,), lasting, dtype=torch.int64, device=device)
    return torch.where(measured_share(objective) < 0.5, lasting, 1 - lasting)


def measured_share(objective: Objective) -> torch.Tensor:
    """Return (tr AᵀA)² / (n tr (AᵀA)²) for images of n values, shape (N,): for a mask the share it keeps.

    It is the participation ratio of the eigenvalues of AᵀA: 1 if all are alike, r / n if r are and the rest
    vanish. Both traces are estimates from one vector of random signs (Hutchinson, "A stochastic estimator of
    the trace of the influence matrix for Laplacian smoothing splines", Communications in Statistics 1990).
    """
    operator, like = objective.problem.operator, objective.problem.y
    generator = torch.Generator().manual_seed(0)
    signs = 2.0 * torch.randint(0, 2, (1, *objective.shape), generator=generator) - 1
    signs = signs.to(like).expand(len(objective), *objective.shape)
    objective.count("A", "AT")
    measured = operator.apply(signs)
    trace, trace_of_square = sum_squares(measured), sum_squares(operator.adjoint(measured))
    return trace.square() / (signs[0].numel() * trace_of_square)
