"""How long a study will take: a few iterations of each kind of cell, timed and multiplied.

What an iteration costs depends on prior, formulation, solver and batch, and hardly on the task; so one cell
of each such kind is begun, on its own images. The figure is an upper bound: cells that converge end earlier.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FlowsolveError
from ..methods import Method, MethodRun, plan_method
from ..recording.earlier import STAGE
from .cell import computing_with, make_cell_run
from .cells import Cell
from .inputs import kept_prior
from .planning import Plan

#: Most iterations of a probe.
ITERATIONS = 4


@dataclass(frozen=True)
class Probe:
    """What one kind of cell costs.

    Attributes
    ----------
    start, iteration, evaluation : float
        Seconds until the first iteration, of an iteration, and for each evaluation.
    iterations : float
        Iterations that it has at most, whatever its limits.
    """

    start: float
    iteration: float
    evaluation: float
    iterations: float = math.inf

    def seconds(self, limits: dict[str, Any]) -> float:
        """Return the longest that a cell with these limits takes."""
        bounds = [self.iterations * self.iteration]
        for limit, each in (
            ("max_iter", self.iteration),
            ("max_evaluations", self.evaluation),
            ("max_seconds", 1),
        ):
            if limits[limit] is not None:
                bounds.append(limits[limit] * each)
        return self.start + min(bounds)


@dataclass(frozen=True)
class Estimate:
    """How long the cells of a study take.

    Attributes
    ----------
    seconds : dict of str to float
        Of each cell at most; cells whose probe failed are not in it.
    failed : dict of str to str
        Why probes failed, by the id of the cell that was tried.
    """

    seconds: dict[str, float]
    failed: dict[str, str]

    def total(self, workers: int = 1) -> float:
        """Return the seconds of all cells, shared by `workers`."""
        return sum(self.seconds.values()) / workers


def estimate(
    plan: Plan, *, seconds: float = 2.0, told: Callable[[int, int], None] = lambda done, total: None
) -> Estimate:
    """Return how long the cells of a plan take, from a short probe of each kind.

    Parameters
    ----------
    plan : Plan
        The study.
    seconds : float
        Solver time after which a probe ends, though not before its first iteration has.
    told : callable
        Called with the number of probes done and of all.
    """
    kinds: dict[Any, list[Cell]] = {}
    for cell in plan.cells:
        kinds.setdefault(_kind(cell), []).append(cell)
    result = Estimate({}, {})
    for done, cells in enumerate(kinds.values()):
        told(done, len(kinds))
        try:
            with computing_with(plan.compute["threads"]):
                probe = _probe(plan, cells[0], seconds)
        except (FlowsolveError, RuntimeError) as error:
            result.failed[cells[0].id] = str(error)
            continue
        result.seconds.update({cell.id: probe.seconds(cell.limits) for cell in cells})
    told(len(kinds), len(kinds))
    return result


def _kind(cell: Cell) -> tuple[Any, ...]:
    # What a method does depends on the problem and on how far it is shortened.
    of_method = cell.method and (cell.task, cell.sigma, str(cell.limits))
    return (cell.prior, cell.formulation, cell.phi, cell.solver, len(cell.images), of_method)


def _probe(plan: Plan, cell: Cell, seconds: float) -> Probe:
    began = time.perf_counter()
    prior = kept_prior(plan.priors[cell.prior], plan.compute["device"], plan.compute["dtype"])
    limits: dict[str, Any] = {"max_iter": ITERATIONS, "max_seconds": seconds, "rtol": None}
    run = make_cell_run(cell, plan.inputs, prior, limits)
    ready = time.perf_counter() - began
    trace = run.complete().trace
    if cell.method is not None:
        assert isinstance(run, MethodRun)
        whole = plan_method(cell.method, run.problem, prior).shortened(cell.limits["max_iter"])
        return _probe_of_stages(ready, trace, whole)
    spent, evaluations = trace["seconds"].max(1), trace["evaluations"].max(1)
    rows = len(spent) - 1
    iteration = max(spent[-1] - spent[0], 1e-6) / max(1, rows)
    evaluation = iteration * max(1, rows) / max(1, evaluations[-1] - evaluations[0])
    return Probe(ready + float(spent[0]), float(iteration), float(evaluation))


def _probe_of_stages(ready: float, trace: dict[str, np.ndarray], method: Method) -> Probe:
    """Return what a method costs, whose stages cost unlike amounts; `trace` is that of a short run of it."""
    spent, stage = trace["seconds"].max(1), trace[STAGE][:, 0]
    total = 0.0
    for k, planned in enumerate(method.stages):
        own = spent[stage == k]
        total += planned.max_iter * float(own[-1] - own[0]) / max(1, len(own) - 1) if len(own) else 0.0
    iteration = max(total, 1e-6) / max(1, method.max_iter)
    return Probe(ready + float(spent[0]), iteration, math.inf, method.max_iter)
