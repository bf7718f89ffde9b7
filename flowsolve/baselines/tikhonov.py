"""Tikhonov regularisation towards a constant colour, and two ways to choose its weight.

The ways to choose take any family of estimates that is ordered by a weight: `smooth` uses them too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..errors import UnsupportedError
from ..metrics import psnr
from ..problem import InverseProblem
from .base import constant_fit, registry

#: Exponents between which weights are tried, relative to ‖A‖².
ALPHAS = (-6.0, 0.5)

Family = Callable[[InverseProblem, torch.Tensor], torch.Tensor]


def tikhonov(problem: InverseProblem, alpha: float | torch.Tensor) -> torch.Tensor:
    """Return argmin over x of ‖Ax − y‖² + alpha ‖x − m‖², m the constant colour that fits y best.

    Parameters
    ----------
    problem : InverseProblem
        Operator and measurements.
    alpha : float or torch.Tensor, shape (N,)
        Weight > 0, one for all or one for each image.
    """
    constant = constant_fit(problem)
    residual = problem.y - problem.operator.apply(constant)
    return constant + problem.operator.tikhonov(residual, alpha)


@registry.register("tikhonov")
def tikhonov_discrepancy(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov towards a constant colour, its weight by the discrepancy principle (no truth)."""
    return tikhonov(problem, discrepancy_weight(problem, tikhonov))


@registry.register("tikhonov-best")
def best_tikhonov(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov with the weight of highest PSNR for each image: an oracle, it looks at the truth.

    Raises
    ------
    UnsupportedError
        If the problem has no truth.
    """
    return tikhonov(problem, oracle_weight(problem, tikhonov, "tikhonov-best"))


def discrepancy_weight(problem: InverseProblem, family: Family) -> torch.Tensor:
    """Return for each image the weight at which ‖Ax − y‖² = mσ² (Morozov), shape (N,).

    Needs no truth, and on blurred faces comes closer to the best weight than generalised
    cross-validation. With σ = 0 it is the least that is tried, 1e-6 ‖A‖².

    Parameters
    ----------
    problem : InverseProblem
        Operator, measurements and noise level.
    family : callable
        ``family(problem, alpha) -> x`` whose misfit grows with the weight alpha.
    """
    operator, y = problem.operator, problem.y
    target = problem.n_measurements.double() * problem.sigma**2
    low, high = (torch.full((len(problem),), bound, dtype=torch.float64, device=y.device) for bound in ALPHAS)
    scale = _scale(problem)
    # Bisection in the exponent, all images at once.
    for _ in range(24):
        middle = (low + high) / 2
        residual = operator.apply(family(problem, scale * 10**middle)) - y
        misfit = torch.linalg.vector_norm(residual.flatten(1), dim=1, dtype=torch.float64).square()
        low, high = torch.where(misfit < target, middle, low), torch.where(misfit < target, high, middle)
    return scale * 10**low


def oracle_weight(problem: InverseProblem, family: Family, who: str) -> torch.Tensor:
    """Return for each image the weight of highest PSNR from a grid, shape (N,).

    Parameters
    ----------
    problem : InverseProblem
        A problem with its truth.
    family : callable
        ``family(problem, alpha) -> x``.
    who : str
        Name of the baseline, for the message.

    Raises
    ------
    UnsupportedError
        If the problem has no truth.
    """
    truth = problem.x_true
    if truth is None:
        raise UnsupportedError(f"{who}: needs the truth (x_true); {who.removesuffix('-best')!r} does without")
    grid = _scale(problem) * np.logspace(*ALPHAS, 53)
    rows = [torch.full((len(problem),), alpha, dtype=torch.float64, device=truth.device) for alpha in grid]
    scores = np.stack([psnr(family(problem, alpha), truth) for alpha in rows])
    return torch.as_tensor(grid[scores.argmax(0)], device=truth.device)


def _scale(problem: InverseProblem) -> float:
    """Return ‖A‖², or 1 for an operator that is 0, as the gradient of a single pixel is."""
    return float(problem.operator.lipschitz) ** 2 or 1.0
