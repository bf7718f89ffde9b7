"""Which classical restorations an operator has, and which of them is the best start."""

from __future__ import annotations

from ..operators import Blur, Downsample, Identity, LinearOperator, Mask, SeparableBlur, ValidBlur
from ..problem import InverseProblem
from .base import ORACLES, Baseline, registry

SUITED: tuple[tuple[tuple[type[LinearOperator], ...], tuple[str, ...]], ...] = (
    ((Identity,), ("total-variation", "non-local-means")),
    ((Mask,), ("harmonic", "total-variation")),
    ((Downsample,), ("bicubic", "back-projection", "total-variation")),
    ((ValidBlur,), ("total-variation",)),
    (
        (Blur, SeparableBlur),
        ("tikhonov", "tikhonov-best", "tikhonov-gradient", "tikhonov-gradient-best", "total-variation"),
    ),
)
"""Baselines by kind of operator."""

ANY = ("tikhonov", "total-variation")
"""Baselines for every operator."""

NOISY_PIXELS = 0.05
"""Noise from which missing pixels are better filled by total variation, which also denoises the others."""

NOISY_BLOCKS = 0.02
"""Noise from which a coarse image is better enlarged by total variation than by putting its pixels back."""


def suited_baselines(problem: InverseProblem) -> dict[str, Baseline]:
    """Return the baselines that a problem's task brings, by name, or those that suit its operator."""
    return of_operator(problem) if problem.task is None else problem.task.baselines(problem)


def classical_start(problem: InverseProblem) -> str:
    """Return the name of the baseline that is the best start: its task's, or that of operator and noise."""
    return start_of_operator(problem) if problem.task is None else problem.task.classical_start(problem)


def of_operator(problem: InverseProblem) -> dict[str, Baseline]:
    """Return the baselines that suit a problem's operator, by name; oracles only where the truth is known."""
    names = next((names for kinds, names in SUITED if isinstance(problem.operator, kinds)), ANY)
    known = problem.x_true is not None
    return {name: registry.get(name) for name in names if known or name not in ORACLES}


def start_of_operator(problem: InverseProblem) -> str:
    """Return the name of the baseline that is the best start for a problem, by its operator and noise."""
    operator, sigma = problem.operator, problem.sigma
    if isinstance(operator, Identity):
        return "non-local-means"
    if isinstance(operator, Mask) and sigma <= NOISY_PIXELS:
        return "harmonic"
    if isinstance(operator, Downsample) and sigma <= NOISY_BLOCKS:
        return "back-projection"
    return "total-variation"
