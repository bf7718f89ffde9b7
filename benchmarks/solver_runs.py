"""What the solver benchmarks share: objectives of the tasks, runs, and readings of their traces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve.initialise import Start
from flowsolve.objectives.base import Objective
from flowsolve.solvers import Solver
from flowsolve.stopping import TargetValue

from .face_tasks import FACE_TASKS

NOISELESS = 1e-4
"""Weight of the prior where sigma = 0 and no MAP weight is defined."""

START = {
    "deblur": "total-variation",
    "sr2": "back-projection",
    "sr4": "back-projection",
    "random": "harmonic",
    "box": "harmonic",
}
"""Classical start of each task over images."""


@dataclass(frozen=True)
class Contender:
    """A solver with its options, under the name that tables have for it.

    Attributes
    ----------
    title : str
        Name in tables.
    solver : str or Solver
        Registered solver, or one with its options.
    options : dict
        Its options.
    ours : bool
        Whether it is one of this package's own, and not another library's.
    """

    title: str
    solver: str | Solver
    options: dict[str, Any] = field(default_factory=dict)
    ours: bool = True


def objective_of(
    task: str, formulation: str, phi: str, x: torch.Tensor, prior: Any, index: slice = slice(None)
) -> Objective:
    """Return the objective of some of the images, all measured as in the whole batch."""
    problem = FACE_TASKS[task].problem(x).select(range(len(x))[index])
    kind = fs.Analysis if formulation == "analysis" else fs.Synthesis
    return kind(problem, prior, phi=phi, lam="map" if problem.sigma else NOISELESS)


def run(
    objective: Objective,
    contender: Contender,
    start: str | Start | torch.Tensor,
    *,
    evaluations: int | None = None,
    iterations: int | None = None,
    target: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the trace of a run, columns (iterations + 1, N), to its budget and not to convergence.

    Where there is a `target`, shape (N,), images whose F has reached it leave the batch.
    """
    result = fs.solve(
        objective,
        contender.solver,
        start,
        max_iter=iterations,
        max_evaluations=evaluations,
        rtol=None,
        stopping=None if target is None else TargetValue(target),
        **contender.options,
    )
    return result.trace


def at(trace: dict[str, np.ndarray], budget: float, column: str = "value") -> np.ndarray:
    """Return a column of each image at its last iteration within `budget` evaluations, shape (N,)."""
    rows = (trace["evaluations"] <= budget).sum(0) - 1
    return np.take_along_axis(trace[column], np.maximum(rows, 0)[None], 0)[0]


def lowest(trace: dict[str, np.ndarray]) -> np.ndarray:
    """Return the lowest F of each image, shape (N,)."""
    return trace["value"].min(0)


def first_at(trace: dict[str, np.ndarray], target: np.ndarray, column: str) -> np.ndarray:
    """Return a column (evaluations, seconds) where F first is at most `target`; infinite if it never is."""
    reached = trace["value"] <= target
    rows = reached.argmax(0)
    found = np.take_along_axis(trace[column].astype(float), rows[None], 0)[0]
    return np.where(reached.any(0), found, np.inf)
