"""Whether restored images are worse than their classical start, judged without the truth.

What a restoration leaves of the measurements should look like the noise: ‖Ax − y‖² close to nσ². A prior
that does not fit the images, or a descent that went astray, leaves more, and then the classical
restoration, which was fitted to the same measurements, is the better bet. Where it leaves no more than the
classical one does, nothing is known against it.
"""

from __future__ import annotations

import numpy as np
import torch

from ..baselines import classical_start, registry
from ..problem import InverseProblem

EXCESS = 1.25
"""Residual beyond the noise's, as a factor of it and of the classical restoration's, from which an image is
sent back."""

LEAST_NOISE = 0.01
"""Noise that is assumed at least: measurements without any are not fitted exactly by every method."""

FEW = 64
"""Measurements of an image below which its residual says nothing."""


def residual_ratio(problem: InverseProblem, x: torch.Tensor) -> np.ndarray:
    """Return ‖Ax − y‖² / (nσ²) of each image, shape (N,); infinite where σ = 0 and the residual is not 0."""
    energy = _residual_energy(problem, x)
    expected = problem.n_measurements.cpu().numpy() * problem.sigma**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(energy == 0, 0.0, energy / expected)


def classical_guard(
    problem: InverseProblem, x: torch.Tensor
) -> tuple[torch.Tensor, np.ndarray, tuple[str, ...]]:
    """Return the images, those that cannot be trusted replaced by the classical restoration.

    Parameters
    ----------
    problem : InverseProblem
        The problem; its truth is not looked at.
    x : torch.Tensor, shape (N, C, H, W)
        Restored images.

    Returns
    -------
    x : torch.Tensor
        Images.
    fallback : numpy.ndarray, shape (N,), bool
        Which were replaced.
    notes : tuple of str
        What happened, in words; empty where nothing did.
    """
    broken = ~torch.isfinite(x).flatten(1).all(1).cpu().numpy()
    suspect = broken | ((_misfit(problem, x) > EXCESS) & _telling(problem))
    if not suspect.any():
        return x, np.zeros(len(x), dtype=bool), ()
    name = classical_start(problem)
    rows = np.flatnonzero(suspect)
    part = problem.select(rows.tolist())
    try:
        classical = registry.get(name)(part)
    except Exception as error:  # a baseline of anybody's: what the prior led to must not be lost with it
        note = f"what the prior led to was not compared with the classical restoration ({name}), which failed"
        return x, np.zeros(len(x), dtype=bool), (f"{note}: {str(error).strip() or type(error).__name__}",)
    before = _misfit(part, classical)
    sound = torch.isfinite(classical).flatten(1).all(1).cpu().numpy()
    worse = sound & (broken[rows] | (_misfit(part, x[rows]) > EXCESS * np.maximum(before, 1)))
    fallback = np.zeros(len(x), dtype=bool)
    fallback[rows[worse]] = True
    if not fallback.any():
        return x, fallback, ()
    out = x.clone()
    out[torch.as_tensor(rows[worse], device=x.device)] = classical[torch.as_tensor(worse, device=x.device)]
    count, total = int(fallback.sum()), len(x)
    note = (
        f"{count} of {total} image{'s' if total > 1 else ''}: what the prior led to leaves more of the "
        f"measurements unexplained than the classical restoration ({name}) does; that restoration was kept"
    )
    return out, fallback, (note,)


def _residual_energy(problem: InverseProblem, x: torch.Tensor) -> np.ndarray:
    """Return ‖Ax − y‖² of each image, shape (N,), summed in float64."""
    residual = problem.operator.apply(x) - problem.y
    return residual.double().flatten(1).square().sum(1).cpu().numpy()


def _misfit(problem: InverseProblem, x: torch.Tensor) -> np.ndarray:
    """Return `residual_ratio`, with some noise where there is next to none."""
    if problem.sigma >= LEAST_NOISE:
        return residual_ratio(problem, x)
    return _residual_energy(problem, x) / (
        np.maximum(problem.n_measurements.cpu().numpy(), 1) * LEAST_NOISE**2
    )


def _telling(problem: InverseProblem) -> np.ndarray:
    """Return for which images the residual tells something: those with measurements enough."""
    return problem.n_measurements.cpu().numpy() >= FEW
