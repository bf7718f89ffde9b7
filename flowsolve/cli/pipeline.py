"""From what was asked on the command line to a restored batch with its files.

Everything that was asked is checked, and every input read, before the output folder is touched. An earlier
run in it stays until the new one has ended its first iteration. What was restored is written before it is
compared with anything: a classical restoration that fails, or an interruption meanwhile, costs the
comparison and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..errors import FlowsolveError, RecordError
from ..flows import load_prior
from ..images import ImageSet
from ..methods import MethodRun
from ..metrics import Measures
from ..objectives import Objective
from ..problem import InverseProblem
from ..recording.baselines import write_baselines
from ..restoration import AUTO, make_method_run
from ..result import Result
from ..run import Run
from ..tasks import Task
from ..threads import use_threads
from .asked_problem import make_problem
from .job import Job, make_job
from .line import Line
from .output import OutputFolder
from .progress import ProgressLine
from .request import DTYPES, Request, check_request


@dataclass(frozen=True)
class Outcome:
    """A finished run with what it is compared with.

    Attributes
    ----------
    request : Request
        What was asked.
    problem : InverseProblem
        The problem, with the truth where it is known.
    objective : Objective
        What was minimised, by a method in its last stage.
    solver, start : str
        By what, and from where; of a method, its name and the start of its first stage.
    names : list of str
        Names of the images.
    result : Result
        What was found.
    restored : numpy.ndarray, shape (N, C, H, W)
        The restored images, as far as the measurements show them.
    folder : OutputFolder
        Where the files are.
    baselines : dict of str to numpy.ndarray
        Classical restorations.
    notes : tuple of str
        What else is worth knowing, in words.
    """

    request: Request
    problem: InverseProblem
    objective: Objective
    solver: str
    start: str
    names: list[str]
    result: Result
    restored: np.ndarray
    folder: OutputFolder
    baselines: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run(request: Request, images: ImageSet | None = None) -> Outcome:
    """Do what was asked, with a progress line on standard error, and write the files.

    Parameters
    ----------
    request : Request
        What was asked.
    images : ImageSet, optional
        Images to take instead of reading those of the request.

    Raises
    ------
    FlowsolveError
        If something that was asked cannot be done; the output folder is as it was.
    """
    from .files import write_comparison, write_restored

    folder = OutputFolder(request.out)
    task = check_request(request)
    folder.check(force=request.force)
    if request.threads is not None:
        use_threads(request.threads)
    prior = load_prior(request.prior, device=request.device, dtype=DTYPES[request.dtype])
    problem, names = make_problem(request, task, prior, images)
    folder.check_images(names)
    if request.explicit:
        job = make_job(request, task, problem, prior)
        measures = Measures(request.metrics, request.metric_every)
        going = Run(
            job.objective, job.solver, job.start, limits=job.limits, seed=request.seed, measures=measures
        )
        folder.prepare()
        going.record_to(folder.record, force=request.force)
        outcome = _of_job(request, job, names, _complete(going, request, job.limits, folder), folder)
    else:
        method = AUTO if request.method is None else request.method
        limits: dict[str, Any] = {"max_iter": request.max_iter, "max_seconds": request.max_seconds}
        limits |= {"metrics": request.metrics, "metric_every": request.metric_every}
        planned = make_method_run(problem, prior, method, seed=request.seed, **limits)
        folder.prepare()
        planned.record_to(folder.record, force=request.force)
        limits = {"max_iter": planned.last_iteration, "max_seconds": request.max_seconds}
        outcome = _of_method(request, planned, names, _complete(planned, request, limits, folder), folder)
    write_restored(outcome)
    if request.baselines:
        outcome = _compared(outcome, task)
        write_comparison(outcome)
    return outcome


def _complete(going: Run | MethodRun, request: Request, limits: dict, folder: OutputFolder) -> Result:
    """Run to the end with a progress line."""
    n = len(going.problem)
    budget = {name: limit for name, limit in limits.items() if name != "rtol"}
    with ProgressLine(f"{request.task} · {n} image{'s' if n > 1 else ''}", **budget) as line, going:
        for k, progress in enumerate(going):
            if k == 0:
                folder.remove_old()
            line.update(progress)
    folder.remove_old()
    return going.result()


def _of_job(request: Request, job: Job, names: list[str], result: Result, folder: OutputFolder) -> Outcome:
    result = job.finish(result)
    return Outcome(
        request=request,
        problem=job.problem,
        objective=job.reported,
        solver=job.solver_name,
        start=job.start_name,
        names=names,
        result=result,
        restored=to_numpy(job.problem.in_frame(result.x)),
        folder=folder,
        notes=(*_assumed(request, job.problem), *result.notes),
    )


def _assumed(request: Request, problem: InverseProblem) -> list[str]:
    """Return what the task assumes of measurements."""
    return problem.task.notes() if request.measured and problem.task is not None else []


def _of_method(
    request: Request, going: MethodRun, names: list[str], result: Result, folder: OutputFolder
) -> Outcome:
    return Outcome(
        request=request,
        problem=going.problem,
        objective=going.current.objective,
        solver=f"method {going.method.name}",
        start=going.method.stages[0].init,
        names=names,
        result=result,
        restored=to_numpy(going.problem.in_frame(result.x)),
        folder=folder,
        notes=(*_assumed(request, going.problem), *result.notes),
    )


def _compared(outcome: Outcome, task: Task) -> Outcome:
    """Return the outcome with the classical restorations, as far as they could be computed."""
    restored, notes = {}, []
    named = task.baselines(outcome.problem)
    with Line("classical restorations", refresh_per_second=4) as line:
        for k, (name, baseline) in enumerate(named.items()):
            line.say(k / len(named), name)
            try:
                restored[name] = to_numpy(baseline(outcome.problem))
            except (FlowsolveError, ArithmeticError, ValueError, RuntimeError) as error:
                notes.append(f"no comparison with {name}: {error}")
    try:
        # A record of several starts has every image once for each.
        copies = (outcome.request.restarts, 1, 1, 1)
        write_baselines(outcome.folder.record, {name: np.tile(x, copies) for name, x in restored.items()})
    except (OSError, RecordError) as error:
        notes.append(f"the classical restorations are not in the record: {error}")
    restored = {name: outcome.problem.in_frame(x) for name, x in restored.items()}
    return replace(outcome, baselines=restored, notes=(*outcome.notes, *notes))
