"""Continue a run from its last checkpoint, or repeat it from its configuration alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, RecordError
from ..numbers import as_count
from ..priors.base import Prior
from ..result import Result
from ..run import Run
from ..stopping import with_max_iter
from .baselines import write_baselines
from .reader import RunRecord, open_run
from .rebuild import build, problem_of, rebuild, version_differences

if TYPE_CHECKING:
    from ..methods.running import MethodRun

#: Columns of the trace that depend on the machine's speed, not on the run.
TIMED = ("seconds",)


def resume(
    path: str | Path,
    *,
    prior: Prior | None = None,
    callback: Callable[[Any], bool | None] | None = None,
    abandoned: bool = False,
    max_iter: int | None = None,
) -> Result:
    """Continue an interrupted, failed or killed run from its last checkpoint, or begin again without one.

    A run that was killed before its first checkpoint has done nothing yet but its start, which the record
    holds. On the CPU with the same versions and number of threads the continued trajectory is bit-identical
    to that of the run uninterrupted.

    Parameters
    ----------
    path : path
        The run's record; it is written on.
    prior : Prior, optional
        The prior, where it is not a registered one.
    callback : callable, optional
        As for `flowsolve.solve`.
    abandoned : bool
        Whether the caller knows that nobody writes the record any more, which cannot be seen of a process on
        another machine. Should it still be writing, its next write fails.
    max_iter : int, optional
        Another limit of iterations. A finished run of one solver, whose record has no state of the solver
        any more, is repeated up to its end, as `rerun` does, and goes on; its record is replaced once that
        has finished.

    Raises
    ------
    ArgumentError
        If `max_iter` is not beyond what the run has done, or it is a method, whose stages have lengths.
    RecordError
        If the run has finished or is still running, has no whole checkpoint though it went on, or its prior
        is missing or another.
    """
    record = open_run(path)
    if max_iter is not None:
        _check_longer(record, max_iter)
    elif record.status == "finished":
        raise RecordError(f"record: {path} is a finished run; there is nothing to resume")
    if record.status == "running" and not abandoned:
        raise RecordError(
            f"record: {path} is still being written by process {record.attributes['pid']} on "
            f"{record.attributes['host']}"
        )
    if record.status == "finished":
        assert max_iter is not None
        return _longer(record, prior, max_iter, callback)
    found = record.checkpoint()
    if record.method is not None:
        method = _method(record, prior, resumed=True)
        method.resume_from(record, found)
        return method.complete(callback)
    if found is None and len(record.trace.get("iteration", ())) > 1:
        raise RecordError(f"record: {path} has no whole checkpoint to resume from; rerun it instead")
    run = _run(record, prior, max_iter)
    if found is None:
        run.record_anew(record)
        return run.complete(callback)
    iteration, arrays = found
    build("checkpoint", lambda: run.check_state(arrays))
    kept = int(np.searchsorted(record.trace["iteration"], iteration, side="right"))
    run.restore(
        arrays, {name: list(rows[:kept]) for name, rows in record.trace.items() if name != "iteration"}
    )
    run.record_on(record, iteration)
    return run.complete(callback)


@dataclass
class Repetition:
    """How a repeated run compares with its record.

    Attributes
    ----------
    result : Result
        The new run.
    identical : bool
        Whether the traces agree bit by bit, times apart.
    differences : dict of str to float
        Largest relative difference of each column that differs, over the iterations both have.
    iterations : (int, int)
        Iterations recorded then and now.
    versions : dict of str to (str or None, str or None)
        Packages whose version has changed: then and now.
    """

    result: Result
    identical: bool
    differences: dict[str, float]
    iterations: tuple[int, int]
    versions: dict[str, tuple[str | None, str | None]]


def rerun(
    path: str | Path,
    *,
    record: str | Path | None = None,
    prior: Prior | None = None,
    callback: Callable[[Any], bool | None] | None = None,
) -> Repetition:
    """Repeat a run from its configuration and measurements and say whether the traces agree.

    Parameters
    ----------
    path : path
        Record of the run to repeat; it is not changed.
    record : path, optional
        Where to record the repetition.
    prior, callback
        As for `resume`.

    Raises
    ------
    ArgumentError
        If `record` is `path` itself.
    RecordError
        If the prior is missing or another one.
    """
    if record is not None and Path(record).resolve() == Path(path).resolve():
        raise ArgumentError("record", str(record), "a file other than the run that is repeated")
    before = open_run(path)
    if before.method is not None:
        method = _method(before, prior, record)
        return _compare(before, method.complete(callback))
    run = _run(before, prior)
    if record is not None:
        run.record_to(record)
    return _compare(before, run.complete(callback))


def _longer(
    record: RunRecord, prior: Prior | None, max_iter: int, callback: Callable[[Any], bool | None] | None
) -> Result:
    """Repeat a finished run beyond its end, in a record beside it that takes its place when it is whole."""
    beside = record.path.with_name(f"{record.path.stem}-longer.h5")
    run, baselines = _run(record, prior, max_iter), record.baselines
    run.record_to(beside, force=True, **record.config["record"])
    result = run.complete(callback)
    if baselines:
        write_baselines(beside, baselines)
    os.replace(beside, record.path)
    return replace(result, record=record.path)


def _check_longer(record: RunRecord, max_iter: int) -> None:
    """Refuse a limit of iterations that does not make a run longer."""
    if record.method is not None:
        accepted = "none for a method, whose stages have lengths; start another run from the record (init)"
        raise ArgumentError("max_iter", max_iter, accepted)
    done = int(record.trace["iteration"][-1]) if len(record.trace.get("iteration", ())) else 0
    if as_count(max_iter, "max_iter") <= done:
        raise ArgumentError("max_iter", max_iter, f"more than the {done} iterations that the run has done")


def _run(record: RunRecord, prior: Prior | None, max_iter: int | None = None) -> Run:
    """Return the run that a record describes, not begun yet, with another limit where one is given."""
    built = rebuild(record, prior)
    if max_iter is not None:
        built.limits = {**built.limits, "max_iter": max_iter}
        built.criterion = with_max_iter(built.criterion, max_iter)
    return build(
        "start",
        lambda: Run(
            built.objective,
            built.solver,
            built.init,
            limits=built.limits,
            criterion=built.criterion,
            seed=built.seed,
            measures=built.measures,
        ),
    )


def _method(
    record: RunRecord,
    prior: Prior | None,
    path: str | Path | None = None,
    *,
    resumed: bool = False,
) -> MethodRun:
    """Return the method that a record describes, not begun yet, written to a file at `path`."""
    from ..methods.from_record import method_of

    return method_of(record, prior, problem_of(record), path, resumed=resumed)


def _compare(before: RunRecord, result: Result) -> Repetition:
    then, now = len(before.trace["iteration"]), len(result.trace["value"])
    both = min(then, now)
    differences = {}
    for name, column in result.trace.items():
        if name in TIMED or name not in before.trace:
            continue
        old, new = before.trace[name][:both], column[:both]
        if not np.array_equal(old, new, equal_nan=True):
            scale = np.maximum(np.abs(old), np.finfo(np.float64).tiny)
            differences[name] = float(np.nanmax(np.abs(new - old) / scale))
    # A run that was killed recorded less than it computed: only what both have can be compared.
    complete = before.status != "finished" or then == now
    return Repetition(
        result, complete and not differences, differences, (then - 1, now - 1), version_differences(before)
    )
