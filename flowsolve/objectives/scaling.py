"""Units for the levels of a latent in which the objective bends about as much in each.

At z = 0 of a flow trained on faces, the data term of a 7x7 blur bends 0.4 along a unit step in the coarsest
level's latents and 5e-5 in the finest level's: a descent that does not know spends its first hundreds of
iterations on the coarse ones alone. One number a level, the mean curvature h, is cheap to measure, and in
the units z h^(1/2) that difference is gone. (Diagonal, or Jacobi, preconditioning with one value a block;
Nocedal & Wright, "Numerical Optimization", 2006, section 5.1.)
"""

from __future__ import annotations

import torch

from ..errors import UnsupportedError
from ..priors.terms import LATENTS
from .base import Objective, inner
from .gauss_newton import GaussNewton
from .searchable import Searchable


def level_curvatures(objective: Objective, u: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Estimate the mean curvature of an objective over latents along each level's latents.

    Parameters
    ----------
    objective : Synthesis
        The objective.
    u : torch.Tensor, shape (N, n)
        Latents to measure at.
    seed : int
        Seed of the directions; the same for every image, wherever it stands in a batch.

    Returns
    -------
    torch.Tensor, shape (N, levels), float64
        trace(H_l) / n_l of the diagonal blocks H_l of the Gauss-Newton matrix, from one product with random
        signs each (Hutchinson's estimate).

    Raises
    ------
    UnsupportedError
        If the objective is not over latents, or `GaussNewton` does not know it.
    """
    if objective.space != LATENTS:
        raise UnsupportedError(f"level_curvatures: {type(objective).__name__} is not over latents")
    model, generator = GaussNewton(objective, u), torch.Generator().manual_seed(seed)
    sizes = objective.flow.latent_sizes
    curvatures, first = [], 0
    for size in sizes:
        signs = torch.zeros_like(u)
        drawn = 2 * torch.randint(2, (size,), generator=generator) - 1
        signs[:, first : first + size] = drawn.to(u)
        curvatures.append(inner(signs, model.matvec(signs)) / size)
        first += size
    return torch.stack(curvatures, 1)


def level_scaling(objective: Searchable, u: torch.Tensor) -> torch.Tensor | None:
    """Return the unit of each latent, h^(-1/2) of its level relative to the coarsest level's.

    Parameters
    ----------
    objective : Objective
        The objective; anything else has no levels.
    u : torch.Tensor, shape (N, ...)
        Where the curvatures h are measured.

    Returns
    -------
    torch.Tensor or None
        Shape of `u`; None where the objective has no levels (over images), or where its curvature is not
        known.
    """
    if not isinstance(objective, Objective) or objective.space != LATENTS:
        return None
    if len(objective.flow.latent_sizes) < 2:
        return None
    try:
        curvatures = level_curvatures(objective, u)
    except UnsupportedError:
        return None
    units = (curvatures[:, -1:] / curvatures).sqrt()
    # A level that cannot be measured keeps the coarsest level's unit.
    units = torch.where(torch.isfinite(units) & (units > 0), units, 1.0)
    sizes = objective.flow.latent_sizes
    return units.repeat_interleave(torch.tensor(sizes, device=u.device), 1).to(u.dtype)
