"""Checks that any solver must pass, ours or a user's.

``check(solver)`` runs them all on tiny problems with a tiny flow and returns reports; ``assert_conforms``
raises if one fails; :class:`SolverConformance` is a test class to inherit.

A solver may refuse one of the formulations (with `UnsupportedError` or `ArgumentError`), not both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from ..driver import solve
from ..errors import ArgumentError, UnsupportedError
from ..objectives import Objective
from ..operators.conformance_report import Report
from ..priors.terms import LATENTS
from ..recording.checkpoint import pack_state, unpack_state
from ..result import Result
from ..stopping import STATUSES, Criterion, Progress
from .base import Solver, State, make_solver, registry, solver_name
from .conformance_problems import (
    FAULTS,
    FORMULATIONS,
    CountingOperator,
    CountingPrior,
    FaultyPrior,
    make_objective,
    make_start,
)

#: Iterations of most checks, and how far runs may differ that should not (relative, float64).
ITERATIONS, TOLERANCE = 5, 1e-9


def check(solver: str | Solver) -> list[Report]:
    """Run every check.

    Parameters
    ----------
    solver : str or Solver
        A registered name, or a solver with its options.

    Returns
    -------
    list of Report
        Of all the checks; those with ``passed`` false say what was expected and found.
    """
    made = make_solver(solver)
    reports = check_options(made)
    supported = False
    for formulation in FORMULATIONS:
        try:
            run(made, make_objective(formulation), iterations=1)
        except (UnsupportedError, ArgumentError) as error:
            reports.append(Report("formulation", True, "", str(error), formulation, skipped=True))
            continue
        supported = True
        for function in CHECKS:
            reports += guard(function, made, formulation)
    return [*reports, Report("formulations", supported, "at least one", "", ", ".join(FORMULATIONS))]


def guard(function: Callable[..., list[Report]], *arguments: Any) -> list[Report]:
    """Return a check's reports, or one that failed where the solver raised instead of answering."""
    try:
        return function(*arguments)
    except Exception as error:
        name = function.__name__.removeprefix("check_").replace("_", " ")
        return [Report(name, False, "no error", f"{type(error).__name__}: {error}", str(arguments[-1]))]


def run(solver: Solver, objective: Objective, iterations: int = ITERATIONS, **options: Any) -> Result:
    """Return the result of a run from grey images, or from the zero latent."""
    start = make_start(objective)
    return solve(objective, solver, start, max_iter=iterations, **{"rtol": None, **options})


def check_options(solver: Solver) -> list[Report]:
    """Options describe the solver: made again from ``config()`` it is the same; unknown ones are refused."""
    name = solver_name(solver)
    if name not in registry:
        return [Report("options", True, "", "it is not registered", name, skipped=True)]
    again = make_solver(name, **solver.config())
    reports = [Report("options", again.config() == solver.config(), f"{solver}", f"{again}", name)]
    try:
        make_solver(name, no_such_option=1)
        refused = "accepted"
    except ArgumentError as error:
        refused = str(error)
    told = "no_such_option" in refused
    return [*reports, Report("unknown option", told, "an ArgumentError that names it", refused, name)]


def check_batch(solver: Solver, formulation: str) -> list[Report]:
    """Images in a batch take the steps that they take alone."""
    together = run(solver, make_objective(formulation))
    reports = []
    for i in range(len(together.status)):
        alone = run(solver, make_objective(formulation, images=[i]))
        reports += [
            _close("batch: values", alone.trace["value"][:, 0], together.trace["value"][:, i], formulation),
            _close("batch: images", alone.x[0].numpy(), together.x[i].numpy(), formulation),
        ]
    return reports


def check_dropping(solver: Solver, formulation: str) -> list[Report]:
    """An image that has finished does not change the others."""
    whole = run(solver, make_objective(formulation))
    dropped = run(solver, make_objective(formulation), stopping=_EndSecond())
    others = [0, 2]
    return [
        _close(
            "dropping finished images",
            dropped.trace["value"][:, others],
            whole.trace["value"][:, others],
            formulation,
        )
    ]


def check_never_worse(solver: Solver, formulation: str) -> list[Report]:
    """What is returned is finite and not above the start, whatever the flow does."""
    reports = []
    for fault in FAULTS:
        objective = make_objective(formulation, FaultyPrior(fault))
        before = objective.value(make_start(objective)).numpy()
        result = run(solver, objective, ITERATIONS)
        finite = bool(torch.isfinite(result.x).all()) and bool(np.isfinite(result.value).all())
        case = f"{formulation} {fault}"
        lower = bool((result.value <= before).all())
        known = set(result.status) <= set(STATUSES)
        reports += [
            Report("finite", finite, "finite images and values", f"{result.value}", case),
            Report("not worse than the start", lower, f"at most {before}", f"{result.value}", case),
            Report("status", known, " or ".join(STATUSES), ", ".join(result.status), case),
            _close("value of what is returned", result.value, _value(objective, result), case),
        ]
    return reports


def check_progress(solver: Solver, formulation: str) -> list[Report]:
    """On a well-behaved flow the objective falls."""
    objective = make_objective(formulation)
    before = objective.value(make_start(objective)).numpy()
    result = run(solver, objective, 2 * ITERATIONS)
    fell = bool((result.value < before).all())
    return [Report("progress", fell, f"below {before}", f"{result.value}", formulation)]


def check_counts(solver: Solver, formulation: str) -> list[Report]:
    """Passes through the flow and applications of A are those that were counted."""
    prior, operator = CountingPrior(), CountingOperator()
    objective = make_objective(formulation, prior, operator=operator)
    start = make_start(objective)
    prior.calls.clear()
    operator.calls.clear()
    _, state = _steps(solver, objective, start, ITERATIONS)
    solver.close(state)
    counted = {name: int(values.sum()) for name, values in objective.tally.counts.items()}
    # The prox of the data term is one count of A, however many iterations it takes without a closed form.
    compared = ("E", "D", "vjp_E", "vjp_D", *(() if counted["prox"] else ("A", "AT")))
    calls = prior.calls + operator.calls
    found = {name: counted[name] for name in compared}
    expected = {name: calls[name] for name in compared}
    return [Report("counts", found == expected, f"{expected}", f"{found}", formulation)]


def check_limits(solver: Solver, formulation: str) -> list[Report]:
    """Limits end a run with the status that says so."""
    few = run(solver, make_objective(formulation), 2)
    ended = set(few.status) <= {"max_iter", "converged", "stalled"} and bool((few.iterations <= 2).all())
    spent = run(solver, make_objective(formulation), 1000, max_evaluations=6)
    over = set(spent.status) <= {"max_evaluations", "converged", "stalled"}
    called = run(solver, make_objective(formulation), callback=lambda progress: True)
    left = set(called.status) <= {"stopped", "converged", "stalled"} and bool((called.iterations <= 1).all())
    return [
        Report(
            "max_iter", ended, "the end after 2 iterations", f"{few.status} {few.iterations}", formulation
        ),
        Report("max_evaluations", over, "max_evaluations", f"{spent.status}", formulation),
        Report("stop by a callback", left, "stopped", f"{called.status} {called.iterations}", formulation),
    ]


def check_resume(solver: Solver, formulation: str) -> list[Report]:
    """A state that was stored and read again goes on to the same iterates, bit by bit."""
    if not solver.resumes_exactly():
        return [Report("resume", True, "", "it says it does not resume exactly", formulation, skipped=True)]
    objective = make_objective(formulation)
    _, state = _steps(solver, objective, make_start(objective), 3)
    arrays = {name: array.copy() for name, array in pack_state(state).items()}
    again = unpack_state(solver.state_type, arrays, state.u.device, solver.nested())
    for _ in range(3):
        state, again = solver.step(objective, state), solver.step(objective, again)
    same = torch.equal(state.u, again.u)
    return [Report("resume", same, "the same iterate", "another", formulation)]


def check_dtype(solver: Solver, formulation: str) -> list[Report]:
    """The images' dtype stays, and values are float64."""
    objective = make_objective(formulation, dtype=torch.float32)
    _, state = _steps(solver, objective, make_start(objective), 2)
    solver.close(state)
    found = (state.u.dtype, state.evaluation.value.dtype)
    passed = found == (torch.float32, torch.float64)
    return [Report("dtype", passed, "float32 variables, float64 values", f"{found}", formulation)]


CHECKS: tuple[Callable[[Solver, str], list[Report]], ...] = (
    check_batch,
    check_dropping,
    check_never_worse,
    check_progress,
    check_counts,
    check_limits,
    check_resume,
    check_dtype,
)


def assert_conforms(solver: str | Solver, skip: Iterable[str] = ()) -> None:
    """Raise ``AssertionError`` with every failed check of :func:`check`.

    Parameters
    ----------
    solver : str or Solver
        As for :func:`check`.
    skip : iterable of str, optional
        Names of reports that need not pass.
    """
    left_out = set(skip)
    failed = [r for r in check(solver) if not r.passed and r.name not in left_out]
    if failed:
        raise AssertionError(f"{solver!r} fails\n" + "\n".join(map(str, failed)))


class SolverConformance:
    """Base class of a test class for pytest: inherit under a collected name and define `make_solver`.

    Examples
    --------
    >>> class TestMySolver(SolverConformance):
    ...     def make_solver(self):
    ...         return MySolver(step_size=0.1)
    """

    def make_solver(self) -> str | Solver:
        """Return the solver to check."""
        raise NotImplementedError(f"{type(self).__name__} must define make_solver()")

    def test_conformance(self) -> None:
        """The solver passes every check."""
        assert_conforms(self.make_solver())


class _EndSecond(Criterion):
    """Ends the second image after three iterations."""

    def check(self, progress: Progress) -> np.ndarray:
        ends = np.full(len(progress.value), "", dtype=object)
        if progress.iteration >= 3:
            ends[1] = "converged"
        return ends

    def config(self) -> Any:
        return {"end second": 3}


def _steps(
    solver: Solver, objective: Objective, start: torch.Tensor, iterations: int
) -> tuple[list[torch.Tensor], State]:
    """Return values and last state of a solver that is driven by hand."""
    state = solver.init(objective, start)
    values = [state.evaluation.value]
    for _ in range(iterations):
        state = solver.step(objective, state)
        values.append(state.evaluation.value)
    return values, state


def _value(objective: Objective, result: Result) -> np.ndarray:
    u = result.z if objective.space == LATENTS else result.x
    return objective.value(u).numpy()


def _close(name: str, found: np.ndarray, expected: np.ndarray, case: str) -> Report:
    """Report whether arrays agree to `TOLERANCE`, relative to the largest entry."""
    length = min(len(found), len(expected))
    found, expected = np.asarray(found)[:length], np.asarray(expected)[:length]
    scale = float(np.abs(expected).max()) or 1.0
    error = float(np.abs(found - expected).max()) / scale
    return Report(name, error <= TOLERANCE, f"a relative error up to {TOLERANCE:g}", f"{error:.2g}", case)
