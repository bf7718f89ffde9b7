"""What a run returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from .methods import Method


@dataclass
class Iterate:
    """Images at one point of a run; copies, which nothing else changes.

    Attributes
    ----------
    x : torch.Tensor, shape (N, C, H, W)
        Images.
    z : torch.Tensor, shape (N, n)
        Their standardised latents.
    value : numpy.ndarray, shape (N,)
        Objective values.
    iteration : numpy.ndarray, shape (N,)
        Iteration each image is from.
    """

    x: torch.Tensor
    z: torch.Tensor
    value: np.ndarray
    iteration: np.ndarray


@dataclass
class Result:
    """What `solve` returns. `x`, `z` and `value` are those of the best iterate.

    That is the one with the lowest F, unless the stopping criterion watches something else
    (`flowsolve.stopping.HeldOut`).

    Attributes
    ----------
    best, final : Iterate
        Each image at its lowest F, and where it ended.
    status : list of str
        How each image ended: ``converged``, ``max_iter``, ``max_evaluations``, ``timeout``, ``stalled`` (no
        acceptable step was left), ``discrepancy`` (it fits as the noise allows), ``held_out`` (the misfit of
        held-out measurements rose), ``diverged`` (rolled back to its best iterate), ``stopped`` (by a
        callback, or a loop that was left early), ``interrupted``, ``failed`` (by an error); "" as long as it
        is being optimised.
    trace : dict of str to numpy.ndarray, shape (iterations + 1, N)
        Columns of the convergence trace, the start first.
    counts : dict of str to numpy.ndarray, shape (N,)
        Evaluations and operator applications; see `flowsolve.tally.COUNTED`.
    iterations : numpy.ndarray, shape (N,)
        Iterations each image took part in.
    seconds : float
        Solver time; metrics and recording excluded.
    record : pathlib.Path or None
        The run's HDF5 file.
    method : Method or None
        Of `flowsolve.restore`: the stages that were run, and why.
    notes : tuple of str
        What is worth knowing of the outcome, in words.
    fallback : numpy.ndarray, shape (N,), bool, or None
        Which images are the classical start, because what the prior led to was found worse; None where
        nothing was asked.
    """

    best: Iterate
    final: Iterate
    status: list[str]
    trace: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    iterations: np.ndarray
    seconds: float
    record: Path | None = None
    method: Method | None = None
    notes: tuple[str, ...] = ()
    fallback: np.ndarray | None = None

    @property
    def x(self) -> torch.Tensor:
        """Restored images, shape (N, C, H, W)."""
        return self.best.x

    @property
    def z(self) -> torch.Tensor:
        """Their latents, shape (N, n)."""
        return self.best.z

    @property
    def value(self) -> np.ndarray:
        """Their objective values, shape (N,)."""
        return self.best.value
