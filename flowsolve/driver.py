"""Minimise an objective: the one call most users need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .initialise import Start
from .metrics import Measures, Metric
from .objectives.base import Objective
from .result import Result
from .run import Callback, Run
from .solvers.base import Solver, make_solver
from .solvers.continuation import Continuation
from .stopping import ITERATIONS, Criterion, make_criterion


def solve(
    objective: Objective,
    solver: str | Solver = "lbfgs",
    init: str | Start | torch.Tensor = "auto",
    *,
    max_iter: int | None = ITERATIONS,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    rtol: float | None = 1e-7,
    stopping: Criterion | None = None,
    continuation: Sequence[float] | None = None,
    record: str | Path | None = None,
    force: bool = False,
    snapshot_every: int | None = None,
    checkpoint_seconds: float = 10.0,
    flush_seconds: float = 1.0,
    seed: int = 0,
    callback: Callback | None = None,
    metrics: Sequence[str | Metric] = ("psnr",),
    metric_every: int = 1,
    **options: Any,
) -> Result:
    """Minimise an objective, every image of the batch on its own, and return what was found.

    Parameters
    ----------
    objective : Analysis or Synthesis
        What to minimise.
    solver : str or Solver
        Name of a registered solver, or one with its options set.
    init : str, Start or torch.Tensor
        Name of a registered start, or images (N, C, H, W), or latents (N, n) in an array of any library; also
        a `Result`, an `Iterate` or a record, whose best images or latents are taken. Images are encoded for
        synthesis, latents decoded for analysis. ``auto`` is z = 0 over latents, and over images the classical
        restoration that suits operator and noise.
    max_iter, max_evaluations, max_seconds : int, int, float, optional
        Budget: iterations; evaluations of the objective of each image; seconds of solver time.
    rtol : float, optional
        An image has converged when F changed by at most rtol · max(1, |F|) over 10 iterations.
    stopping : Criterion, optional
        One more criterion, or several combined with ``|`` and ``&``.
    continuation : sequence of float, optional
        Multiples of the objective's lam to minimise with first, one after the other, each from where the last
        ended: `flowsolve.solvers.Continuation` around the solver.
    record : path, optional
        HDF5 file to write the run to.
    force : bool
        Whether an existing `record` may be replaced.
    snapshot_every : int, optional
        Record the images every so many iterations.
    checkpoint_seconds : float
        How much solver time a killed run may lose: the state is recorded about this often.
    flush_seconds : float
        How long the record's trace may lag behind.
    seed : int
        Seed of the start.
    callback : callable, optional
        Called with a `Progress` after each iteration, off the clock; when it returns True the run stops
        there, and images still being optimised end as ``stopped``. It changes nothing else: the trace is that
        of the run without it.
    metrics : sequence of str or Metric
        What the trace has a column of where the truth is known: names of registered metrics
        (`flowsolve.metrics`), or metrics.
    metric_every : int
        Ask them every so many iterations; rows between repeat the last values.
    **options
        Options of the solver.

    Returns
    -------
    Result

    Raises
    ------
    ArgumentError
        If an option has a bad value or a name is unknown.
    UnsupportedError
        If the solver cannot take the objective.
    """
    run = make_run(
        objective,
        solver,
        init,
        max_iter=max_iter,
        max_evaluations=max_evaluations,
        max_seconds=max_seconds,
        rtol=rtol,
        stopping=stopping,
        continuation=continuation,
        record=record,
        force=force,
        snapshot_every=snapshot_every,
        checkpoint_seconds=checkpoint_seconds,
        flush_seconds=flush_seconds,
        seed=seed,
        metrics=metrics,
        metric_every=metric_every,
        **options,
    )
    return run.complete(callback)


def make_run(
    objective: Objective,
    solver: str | Solver = "lbfgs",
    init: str | Start | torch.Tensor = "auto",
    *,
    max_iter: int | None = ITERATIONS,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    rtol: float | None = 1e-7,
    stopping: Criterion | None = None,
    continuation: Sequence[float] | None = None,
    record: str | Path | None = None,
    seed: int = 0,
    force: bool = False,
    snapshot_every: int | None = None,
    checkpoint_seconds: float = 10.0,
    flush_seconds: float = 1.0,
    metrics: Sequence[str | Metric] = ("psnr",),
    metric_every: int = 1,
    **options: Any,
) -> Run:
    """Return the run that `solve` would do, not begun yet; parameters and errors are those of `solve`."""
    limits: dict[str, Any] = {
        "max_iter": max_iter,
        "max_evaluations": max_evaluations,
        "max_seconds": max_seconds,
        "rtol": rtol,
    }
    criterion = make_criterion(**limits)
    if stopping is not None:
        criterion = stopping | criterion
    chosen = make_solver(solver, **options)
    if continuation is not None:
        chosen = Continuation(chosen, factors=continuation)
    run = Run(
        objective,
        chosen,
        init,
        limits=limits,
        criterion=criterion,
        seed=seed,
        measures=Measures(metrics, metric_every),
    )
    if record is not None:
        run.record_to(
            record,
            force=force,
            snapshot_every=snapshot_every,
            checkpoint_seconds=checkpoint_seconds,
            flush_seconds=flush_seconds,
        )
    return run
