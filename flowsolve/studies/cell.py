"""Run one cell: begin it, go on with it, or find it done. The same function in any process on any machine."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..driver import make_run
from ..errors import FlowsolveError
from ..flows import FlowPrior
from ..methods import MethodRun
from ..objectives import FORMULATIONS, Objective
from ..problem import InverseProblem, degrade
from ..recording import RunRecord, open_run
from ..recording.resume import resume
from ..restoration import make_method_run
from ..run import Run
from ..solvers.base import make_solver
from ..threads import use_threads
from .cells import Cell
from .compatibility import build_operator, task_of
from .folder import StudyFolder
from .inputs import Inputs, Paths, kept_prior, read_inputs

#: Seconds of silence after which a record that another machine may still be writing is taken over.
SILENCE = 60.0


@dataclass(frozen=True)
class Work:
    """A cell with all that its process has to know.

    Attributes
    ----------
    cell : Cell
        The cell.
    folder : str
        The study's folder.
    source : str
        What `flowsolve.load_prior` takes for the prior.
    compute : dict
        How it is computed and recorded; see `flowsolve.studies.config.Compute`.
    """

    cell: Cell
    folder: str
    source: str
    compute: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes
    ----------
    cell : str
        Its id.
    seconds : float
        How long it took, this time.
    resumed : bool
        Whether it went on from a record.
    failure : dict, optional
        What `StudyFolder.write_failure` wrote, where it failed.
    """

    cell: str
    seconds: float = 0.0
    resumed: bool = False
    failure: dict[str, Any] | None = None


def run_cell(
    work: Work, inputs: Paths | Inputs, callback: Callable[[Any], bool | None] | None = None
) -> Outcome:
    """Bring a cell to its end; a failure is written down and told, not raised.

    Parameters
    ----------
    work : Work
        The cell.
    inputs : Paths or Inputs
        The study's images, masks and kernels, or where they are.
    callback : callable, optional
        As for `flowsolve.solve`.
    """
    began, folder, cell = time.perf_counter(), StudyFolder(work.folder), work.cell
    resumed = False
    try:
        with computing_with(work.compute["threads"]):
            state = _state(folder.record(cell.id))
            resumed = state == "begun"
            if state != "finished":
                _bring_to_its_end(work, inputs, folder.record(cell.id), callback, resumed)
    except Exception as error:
        failure = folder.write_failure(cell.id, type(error).__name__, str(error))
        return Outcome(cell.id, time.perf_counter() - began, resumed, failure)
    folder.failure(cell.id).unlink(missing_ok=True)
    return Outcome(cell.id, time.perf_counter() - began, resumed)


def make_problem(cell: Cell, inputs: Inputs, prior: FlowPrior) -> InverseProblem:
    """Return the problem of a cell, where the prior computes.

    Image i is measured with the noise and, where masks are random, the mask of the i-th image of the study,
    whatever the batches are.

    Parameters
    ----------
    cell : Cell
        The cell.
    inputs : Inputs
        The study's images, masks and kernels.
    prior : FlowPrior
        The prior.
    """
    operator = build_operator(cell, inputs)
    x = torch.as_tensor(inputs.x).to(device=prior.device, dtype=prior.dtype)
    y = degrade(operator, x, sigma=cell.sigma, seed=cell.measurement_seed)
    problem = InverseProblem(operator, y, sigma=cell.sigma, x_true=x, task=task_of(cell, inputs))
    if len(cell.images) < len(x):
        problem = problem.select(range(cell.first, cell.first + len(cell.images)))
    return problem


def make_objective(cell: Cell, inputs: Inputs, prior: FlowPrior) -> Objective:
    """Return what a cell of one solver minimises; parameters as for `make_problem`."""
    problem = make_problem(cell, inputs, prior)
    return FORMULATIONS[cell.formulation](problem, prior, phi=cell.phi, lam=cell.lam)


def make_cell_run(
    cell: Cell, inputs: Inputs, prior: FlowPrior, limits: dict[str, Any], **recording: Any
) -> Run | MethodRun:
    """Return the run of a cell, not begun yet.

    Parameters
    ----------
    cell : Cell
        The cell.
    inputs : Inputs
        The study's images, masks and kernels.
    prior : FlowPrior
        The prior.
    limits : dict
        Its limits, for example ``cell.limits``.
    **recording
        ``record`` and options of `flowsolve.recording.RunWriter`.
    """
    if cell.method is not None:
        kept = {name: limits.get(name) for name in ("max_iter", "max_seconds")}
        problem = make_problem(cell, inputs, prior)
        return make_method_run(problem, prior, cell.method, seed=cell.seed, **kept, **recording)
    return make_run(
        make_objective(cell, inputs, prior),
        make_solver(cell.solver_name, **cell.solver_options),
        cell.init,
        **limits,
        seed=cell.seed,
        **recording,
    )


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Compute with so many threads, then with as many as before: their number can change the last bits."""
    before = torch.get_num_threads()
    use_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _bring_to_its_end(
    work: Work,
    inputs: Paths | Inputs,
    record: Path,
    callback: Callable[[Any], bool | None] | None,
    resumed: bool,
) -> None:
    cell, compute = work.cell, work.compute
    prior = kept_prior(work.source, compute["device"], compute["dtype"])
    if resumed:
        # Whoever wrote it is gone: the folder is held by one study, and that has given the cell to us.
        resume(record, prior=prior, callback=callback, abandoned=True)
        return
    arrays = read_inputs(inputs) if isinstance(inputs, Paths) else inputs
    run = make_cell_run(
        cell,
        arrays,
        prior,
        cell.limits,
        record=record,
        force=True,
        snapshot_every=compute["snapshot_every"],
        checkpoint_seconds=compute["checkpoint_seconds"],
        flush_seconds=compute["flush_seconds"],
        # Plans that were made before there were others have none.
        metrics=compute.get("metrics", ["psnr"]),
        metric_every=compute.get("metric_every", 1),
    )
    run.complete(callback)


def _state(record: Path) -> str:
    """Return "absent", "begun" (there is something to go on from) or "finished"."""
    if not record.exists():
        return "absent"
    try:
        run = open_run(record)
        _wait_for_silence(run)
        if run.status == "finished":
            return "finished"
        # Between two stages a method has no checkpoint, and goes on all the same.
        return "begun" if run.checkpoint() is not None or run.earlier.ended else "absent"
    except FlowsolveError:
        # Cut short or damaged beyond reading: there is nothing to go on from.
        return "absent"


def _wait_for_silence(run: RunRecord) -> None:
    """Wait while a record grows that a process on another machine may be writing.

    A scheduler that loses a machine gives its cells to others, and a study whose own process died is started
    again, while that machine may still be at work.
    """
    while run.status == "running" and _silent_for(run.path) < SILENCE:
        time.sleep(0.5)
        run.refresh()


def _silent_for(path: Path) -> float:
    """Return for how many seconds a file has not been written, by the clock of its own file system."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clock-") as now:
        return os.stat(now.name).st_mtime - path.stat().st_mtime
