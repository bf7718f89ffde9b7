"""What a request minimises, by what, from where and until when: its own choices, or those of a preset."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import initialise, presets, tasks
from ..discrepancy_principle import discrepancy
from ..errors import ArgumentError
from ..flows import FlowPrior
from ..multiple_starts import MultiStart, widened
from ..objectives import FORMULATIONS, Objective
from ..objectives.weights import map_factor
from ..problem import InverseProblem
from ..result import Result
from ..solvers import Continuation, Solver, make_solver
from ..solvers.base import solver_name
from ..stopping import ITERATIONS
from .key_values import parse_options
from .start_file import is_file, start_from_file

if TYPE_CHECKING:
    from .request import Request

#: What an explicit run does where nothing is said of it.
SOLVER, FORMULATION = "lbfgs", "analysis"


@dataclass(frozen=True)
class Job:
    """A run to be done.

    Attributes
    ----------
    problem : InverseProblem
        The problem, on the prior's device and in its dtype.
    objective : Objective
        What is minimised; of several starts, a batch with every image once for each.
    reported : Objective
        The objective of the images alone, for the summary.
    solver, start, limits
        As `flowsolve.run.Run` takes them.
    start_name : str
        What to call the start.
    finish : callable
        Turns the run's result into that of the images.
    """

    problem: InverseProblem
    objective: Objective
    reported: Objective
    solver: Solver
    start: initialise.Start
    start_name: str
    limits: dict[str, Any]
    finish: Callable[[Result], Result]

    @property
    def solver_name(self) -> str:
        """What to call the solver."""
        return solver_name(self.solver)


def make_job(request: Request, task: tasks.Task, problem: InverseProblem, prior: FlowPrior) -> Job:
    """Return the run that was asked for; with ``--lam discrepancy`` the weights are searched here."""
    limits: dict[str, Any] = {
        "max_iter": ITERATIONS if request.max_iter is None else request.max_iter,
        "max_evaluations": request.max_evaluations,
        "max_seconds": request.max_seconds,
        "rtol": 1e-7,
    }
    if request.preset is not None:
        return _preset_job(request, problem, prior, limits)
    lam = checked_lam(request.lam)
    searched = lam == "discrepancy"
    formulation = FORMULATIONS[formulation_of(request)]
    objective = formulation(problem, prior, phi=request.phi, lam="map" if searched else lam)
    name = task.starts[formulation_of(request)] if request.init is None else request.init
    if is_file(name):
        start = start_from_file(Path(name), objective)
        _check_start(start, objective)
    else:
        start = _start(name, objective, request.seed)
    solver = make_solver(request.solver or SOLVER, **parse_options(request.option))
    if searched:
        objective = discrepancy(objective, solver, start, **limits).objective
    factors = continuation_factors(request.continuation)
    if factors is not None:
        solver = Continuation(solver, factors=factors)
    alone = objective.problem
    if request.restarts == 1:
        return Job(alone, objective, objective, solver, start, name, limits, lambda result: result)
    starts: list[str | initialise.Start | torch.Tensor] = [start, *["random"] * (request.restarts - 1)]
    wide, joined, share = widened(objective, starts, request.seed, request.max_evaluations)

    def finish(result: Result) -> Result:
        return MultiStart.from_result(result, joined.name).best

    limits |= {"max_evaluations": share}
    return Job(alone, wide, objective, solver, joined, joined.name, limits, finish)


def check_job(request: Request) -> None:
    """Check what needs neither the prior nor the images."""
    checked_lam(request.lam)
    make_solver(request.solver or SOLVER, **parse_options(request.option))
    factors = continuation_factors(request.continuation)
    if factors is not None:
        Continuation(factors=factors)
    if request.preset is None:
        return
    presets.registry.get(request.preset, "preset").protocol(preset_task(request), formulation_of(request))
    default = {f.name: f.default for f in dataclasses.fields(request)}
    decided = ["phi", "lam", "solver", "option", "init", "restarts", "continuation"]
    # What was measured says itself how: the options of the task are about that.
    given = [name for name in decided if getattr(request, name) != default[name]]
    given += [] if request.measured else [name for name in request.task_option if name != "factor"]
    for name in given:
        given_with = f"one together with the preset {request.preset}"
        raise ArgumentError(name.replace("_", "-"), given_with, "none; the preset decides it")


def preset_task(request: Request) -> str:
    """Return the name that presets have for the task."""
    if request.task != "super-resolution":
        return request.task
    return f"super-resolution-{request.task_option.get('factor', 2)}"


def continuation_factors(text: str | None) -> list[float] | None:
    """Return the numbers of ``--continuation``."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentError(
            "continuation", repr(text), "numbers > 0 divided by commas, for example 100,10"
        ) from None


def formulation_of(request: Request) -> str:
    """Return the formulation that was asked for, or the usual one."""
    return request.formulation or FORMULATION


def checked_lam(text: str | None) -> float | str:
    """Return "map", also where nothing is said, "discrepancy", or the number that was written."""
    if text is None:
        return "map"
    if text in ("map", "discrepancy") or map_factor(text) is not None:
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ArgumentError(
            "lam", repr(text), "map, a multiple such as 0.3map, discrepancy, or a finite number >= 0"
        )
    return number


def _preset_job(request: Request, problem: InverseProblem, prior: FlowPrior, limits: dict[str, Any]) -> Job:
    assert request.preset is not None
    key = preset_task(request)
    plan = presets.plan(request.preset, key, formulation_of(request), problem, prior, seed=request.seed)
    limits |= {"rtol": None}
    if request.max_iter is None:
        limits |= {"max_iter": plan.iterations}
    o = plan.objective
    return Job(o.problem, o, o, plan.solver, plan.start, plan.start.name, limits, presets.last_iterate)


def _start(name: str, objective: Objective, seed: int) -> initialise.Start:
    """Return the start, refused if F is not finite there: an earlier run must not be replaced for nothing."""
    start = initialise.make_start(name, objective.problem, objective.prior, seed=seed)
    _check_start(start, objective)
    return start


def _check_start(start: initialise.Start, objective: Objective) -> None:
    name = start.name
    with torch.no_grad():
        if start.z is not None:
            u = objective.from_latent(start.z)
        else:
            assert start.x is not None
            u = objective.from_image(start.x)
        finite = torch.isfinite(objective.value(u))
    if not finite.all():
        given = f"{name!r}, from which F is not finite for {int((~finite).sum())} of {len(finite)} images"
        raise ArgumentError("init", given, "a start with finite F, for example total-variation or zeros")
