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
from ..encoding import file_kind
from ..errors import FlowsolveError, RecordError
from ..flows import FlowPrior, load_prior
from ..images import ImageSet
from ..methods import Method, MethodRun, plan_method
from ..methods.stage import PriorShelf
from ..metrics import Measures
from ..objectives import Objective
from ..problem import InverseProblem
from ..recording.baselines import write_baselines
from ..restoration import AUTO, make_method_run
from ..result import Result
from ..run import Run
from ..tasks import Task
from ..threads import use_threads
from ..tiles import restore_by_tiles, tile_size
from .asked_problem import make_problem, read_groups
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
    sources : list of str
        Where each is from; "" where that is not known.
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
    sources: list[str]
    result: Result
    restored: np.ndarray
    folder: OutputFolder
    baselines: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcomes:
    """What a request came to: one outcome for the images of each size, grey and colour apart."""

    parts: list[Outcome]

    @property
    def request(self) -> Request:
        """What was asked."""
        return self.parts[0].request

    @property
    def folder(self) -> OutputFolder:
        """Where the files are."""
        return OutputFolder(self.request.out, self.parts[0].folder.kind)


@dataclass(frozen=True)
class _Part:
    """The images of one size, with what is going to be done about them."""

    problem: InverseProblem
    names: list[str]
    sources: list[str]
    folder: OutputFolder
    side: int | None


def run(request: Request, images: ImageSet | None = None) -> Outcomes:
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
    from .files import write_comparison, write_restored, write_summary

    folder = OutputFolder(request.out, file_kind(request.dtype_out, request.format))
    task = check_request(request)
    folder.check(force=request.force)
    if request.threads is not None:
        use_threads(request.threads)
    prior = load_prior(request.prior, device=request.device, dtype=DTYPES[request.dtype])
    groups: list[Any] = [images] if images is not None else read_groups(request, task, prior)
    parts = [_part(request, task, prior, group, folder, several=len(groups) > 1) for group in groups]
    folder.check_images([name for part in parts for name in part.names])
    jobs = [_job(request, task, prior, part) for part in parts]
    folder.prepare([part.folder.record for part in parts if part.side is None])
    outcomes: list[Outcome] = []
    for part, job in zip(parts, jobs, strict=True):
        outcomes.append(_done(request, prior, part, job, folder))
        write_restored(outcomes[-1])
        write_summary(Outcomes(outcomes))
    if request.baselines:
        for k, outcome in enumerate(outcomes):
            outcomes[k] = _compared(outcome, task)
            write_comparison(outcomes[k])
        write_summary(Outcomes(outcomes))
    return Outcomes(outcomes)


def _part(
    request: Request, task: Task, prior: FlowPrior, group: Any, folder: OutputFolder, *, several: bool
) -> _Part:
    problem, names = make_problem(request, task, prior, group)
    channels, height, width = problem.operator.dim_shape
    label = f"{width}x{height}" + ("-grey" if channels == 1 else "")
    side = None if request.restarts > 1 else tile_size(request.tiles, problem, prior)
    sources = list(getattr(group, "sources", [""] * len(names)))
    return _Part(problem, names, sources, folder.part_of(label) if several else folder, side)


def _job(request: Request, task: Task, prior: FlowPrior, part: _Part) -> Job | MethodRun | Method:
    """Return what restores the images of a part, not begun yet; of a method by tiles, the method."""
    if request.explicit:
        # By tiles it is made once for nothing, so that what cannot be done is said before anything runs.
        return make_job(request, task, part.problem, prior)
    method = AUTO if request.method is None else request.method
    if part.side is not None:
        return plan_method(method, part.problem, prior)
    limits: dict[str, Any] = {"max_iter": request.max_iter, "max_seconds": request.max_seconds}
    limits |= {"metrics": request.metrics, "metric_every": request.metric_every}
    return make_method_run(part.problem, prior, method, seed=request.seed, **limits)


def _done(
    request: Request, prior: FlowPrior, part: _Part, job: Job | MethodRun | Method, folder: OutputFolder
) -> Outcome:
    """Restore the images of a part and return what came of it."""
    if part.side is not None:
        result = _by_tiles(request, prior, part, job)
        folder.remove_old()
        return _of_tiles(request, part, prior, job, result)
    if isinstance(job, Job):
        measures = Measures(request.metrics, request.metric_every)
        going = Run(
            job.objective, job.solver, job.start, limits=job.limits, seed=request.seed, measures=measures
        )
        going.record_to(part.folder.record, force=request.force)
        return _of_job(request, job, part, _complete(going, request, job.limits, folder))
    assert isinstance(job, MethodRun)
    job.record_to(part.folder.record, force=request.force)
    limits = {"max_iter": job.last_iteration, "max_seconds": request.max_seconds}
    return _of_method(request, job, part, _complete(job, request, limits, folder))


def _by_tiles(request: Request, prior: FlowPrior, part: _Part, job: Any) -> Result:
    """Restore large images tile by tile."""
    assert part.side is not None
    task = check_request(request)

    def restore(tiles: InverseProblem, share: float) -> Result:
        seconds = None if request.max_seconds is None else share * request.max_seconds
        if isinstance(job, Method):
            limits: dict[str, Any] = {"max_iter": request.max_iter, "max_seconds": seconds}
            return make_method_run(tiles, prior, job, seed=request.seed, **limits).complete()
        own = make_job(request.replaced(max_seconds=seconds), task, tiles, prior)
        return Run(own.objective, own.solver, own.start, limits=own.limits, seed=request.seed).complete()

    with Line(f"{request.task} · {len(part.names)} by tiles", refresh_per_second=4) as line:
        return restore_by_tiles(
            part.problem,
            prior,
            part.side,
            restore,
            lambda done, total: line.say(done / total, f"{done} of {total} tiles"),
        )


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


def _assumed(request: Request, problem: InverseProblem) -> list[str]:
    """Return what the task assumes of measurements."""
    return problem.task.notes() if request.measured and problem.task is not None else []


def _of_tiles(request: Request, part: _Part, prior: FlowPrior, job: Any, result: Result) -> Outcome:
    if isinstance(job, Job):
        objective, solver, start = job.reported, job.solver_name, job.start_name
    else:
        objective = job.stages[-1].objective(part.problem, prior, PriorShelf(prior))
        solver, start = f"method {job.name}", job.stages[0].init
    return _outcome(request, part, result, objective=objective, solver=solver, start=start)


def _outcome(
    request: Request,
    part: _Part,
    result: Result,
    *,
    objective: Objective,
    solver: str,
    start: str,
    problem: InverseProblem | None = None,
) -> Outcome:
    measured = part.problem if problem is None else problem
    return Outcome(
        request=request,
        problem=measured,
        objective=objective,
        solver=solver,
        start=start,
        names=part.names,
        sources=part.sources,
        result=result,
        restored=to_numpy(measured.in_frame(result.x)),
        folder=part.folder,
        notes=(*_assumed(request, measured), *result.notes),
    )


def _of_job(request: Request, job: Job, part: _Part, result: Result) -> Outcome:
    made: dict[str, Any] = {"objective": job.reported, "solver": job.solver_name, "start": job.start_name}
    return _outcome(request, part, job.finish(result), problem=job.problem, **made)


def _of_method(request: Request, going: MethodRun, part: _Part, result: Result) -> Outcome:
    made: dict[str, Any] = {"objective": going.current.objective, "start": going.method.stages[0].init}
    solver = f"method {going.method.name}"
    return _outcome(request, part, result, problem=going.problem, solver=solver, **made)


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
    if not outcome.folder.record.exists():
        return replace(outcome, baselines=restored, notes=(*outcome.notes, *notes))
    try:
        # A record of several starts has every image once for each.
        copies = (outcome.request.restarts, 1, 1, 1)
        write_baselines(outcome.folder.record, {name: np.tile(x, copies) for name, x in restored.items()})
    except (OSError, RecordError) as error:
        notes.append(f"the classical restorations are not in the record: {error}")
    restored = {name: outcome.problem.in_frame(x) for name, x in restored.items()}
    return replace(outcome, baselines=restored, notes=(*outcome.notes, *notes))
