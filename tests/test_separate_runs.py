"""Runs of one objective that go on side by side: each is what it would be alone."""

from itertools import zip_longest

import numpy as np
import pytest
import torch
from helpers import foreign_threads, in_threads, wait_until

import flowsolve as fs
from flowsolve.errors import UnsupportedError
from flowsolve.solvers import make_solver

LIMITS = {"max_iter": 6, "max_evaluations": None, "max_seconds": None, "rtol": None}


def assert_same(result, alone):
    """Assert that two results agree bit by bit, times apart."""
    assert result.status == alone.status and set(result.trace) == set(alone.trace)
    for name in set(alone.trace) - {"seconds"}:
        np.testing.assert_array_equal(result.trace[name], alone.trace[name], err_msg=name)
    for name, column in alone.counts.items():
        np.testing.assert_array_equal(result.counts[name], column, err_msg=name)
    assert torch.equal(result.x, alone.x) and torch.equal(result.z, alone.z)


@pytest.mark.parametrize(
    ("formulation", "solvers"),
    [
        (fs.Analysis, ("lbfgs", "adam", "hybrid", "scipy:L-BFGS-B")),
        (fs.Synthesis, ("lbfgs", "adam", "hybrid", "scipy:L-BFGS-B")),
        (fs.Analysis, ("forward_backward", "gauss_newton", "torch:LBFGS")),
    ],
)
def test_runs_side_by_side_are_those_alone(formulation, solvers, tiny_prior, problem):
    objective = formulation(problem, tiny_prior)
    options = {"max_iter": 5, "max_evaluations": 6, "rtol": None}
    alone = [fs.solve(formulation(problem, tiny_prior), solver, **options) for solver in solvers]
    runs = [fs.iterate(objective, solver, **options) for solver in solvers]
    for _ in zip_longest(*runs):
        pass
    for run, reference in zip(runs, alone, strict=True):
        assert_same(run.result(), reference)


@pytest.mark.parametrize("solver", ["lbfgs", "hybrid", "gauss_newton", "scipy:CG"])
def test_runs_in_threads_are_those_alone(solver, tiny_prior, problem):
    objective = fs.Synthesis(problem, tiny_prior)
    options = {"max_iter": 3, "max_evaluations": 12, "rtol": None}
    alone = fs.solve(objective, solver, **options)
    for result in in_threads(lambda: fs.solve(objective, solver, **options)):
        assert_same(result, alone)


@pytest.mark.parametrize("solver", ["lbfgs", "hybrid", "scipy:CG"])
def test_looking_at_the_objective_costs_a_run_nothing(solver, tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    options = {"max_iter": 10, "max_evaluations": 9, "rtol": None}
    alone = fs.solve(objective, solver, **options)

    def callback(progress):
        objective.value_and_grad(problem.y)
        fs.solve(objective, "adam", max_iter=1)

    assert_same(fs.solve(objective, solver, callback=callback, **options), alone)
    steps = fs.iterate(objective, solver, **options)
    for step in steps:
        np.testing.assert_allclose(step.objective.value(step.u).numpy(), step.value, rtol=1e-10)
    assert_same(steps.result(), alone)


def test_an_objective_counts_what_it_is_asked_itself(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    objective.value(problem.y)
    part = objective.select([2, 0])
    fs.solve(objective, max_iter=2)
    fs.solve(part, max_iter=2)
    part.value(problem.y[[2, 0]])
    assert objective.tally.counts["evaluations"].tolist() == [2, 1, 2]
    assert part.tally is objective.tally and part.indices.tolist() == [2, 0]


def test_helpers_that_solve_leave_the_objective_as_it_was(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    fs.multistart(objective, starts=["zeros", "adjoint"], max_iter=2)
    choice = fs.discrepancy(objective, max_iter=2, max_solves=2)
    fs.solve(choice.objective, continuation=[10], max_iter=2)
    assert not any(column.any() for column in objective.tally.counts.values())
    assert objective.tally.limit is None and objective.indices.tolist() == [0, 1, 2]


def test_a_run_is_gone_through_once(tiny_prior, problem):
    steps = fs.iterate(fs.Analysis(problem, tiny_prior), max_iter=3, rtol=None)
    assert len(list(steps)) == 3
    before = steps.result()
    with pytest.raises(UnsupportedError, match="run: it has been looped over"):
        list(steps)
    with pytest.raises(UnsupportedError, match="run: it has been looped over"):
        steps.run.complete()
    assert_same(steps.result(), before)


def test_a_second_loop_does_not_disturb_the_first(tiny_prior, problem, tmp_path):
    objective = fs.Analysis(problem, tiny_prior)
    steps = fs.iterate(objective, "scipy:CG", max_iter=4, rtol=None, record=tmp_path / "run.h5")
    for _ in steps:
        with pytest.raises(UnsupportedError, match="gone through once"):
            next(iter(steps))
    assert_same(steps.result(), fs.solve(objective, "scipy:CG", max_iter=4, rtol=None))
    assert fs.open_run(tmp_path / "run.h5").status == "finished"


def test_before_the_loop_there_is_no_result(tiny_prior, problem):
    steps = fs.iterate(fs.Analysis(problem, tiny_prior), max_iter=3)
    with pytest.raises(UnsupportedError, match="result: the run has not begun"):
        steps.result()
    assert len(list(steps)) == 3 and steps.result().status == ["max_iter"] * 3


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("solver", ["lbfgs", "scipy:CG"])
def test_leaving_a_loop_early_ends_the_run_as_stopped(solver, recorded, tiny_prior, problem, tmp_path):
    record = tmp_path / "run.h5" if recorded else None
    objective = fs.Analysis(problem, tiny_prior)
    steps = fs.iterate(objective, solver, max_iter=9, rtol=None, record=record)
    for step in steps:
        if step.iteration == 2:
            break
    assert steps.result().status == ["stopped"] * 3 and steps.result().iterations.tolist() == [2] * 3
    wait_until(lambda: not foreign_threads())
    with pytest.raises(UnsupportedError, match="gone through once"):
        list(steps)
    if recorded:
        assert fs.open_run(record).status == "finished"
        assert fs.open_run(record).final["status"].tolist() == [b"stopped"] * 3


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_an_error_ends_the_run_with_its_status(error, status, tiny_prior, problem):
    run = fs.Run(fs.Analysis(problem, tiny_prior), make_solver("lbfgs"), "zeros", limits=LIMITS)

    def callback(progress):
        raise error

    with pytest.raises(error):
        run.complete(callback)
    assert run.result().status == [status] * 3 and run.result().iterations.tolist() == [1] * 3


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_what_was_handed_out_stays_as_it_is(formulation, tiny_prior, problem):
    objective = formulation(problem, tiny_prior)
    alone = fs.solve(objective, max_iter=6, rtol=None)
    steps, kept, copies, results = fs.iterate(objective, max_iter=6, rtol=None), [], [], []
    for step in steps:
        kept.append(step)
        copies.append((step.u.clone(), step.value.copy(), step.evaluations.copy(), len(step.trace["value"])))
        results.append(steps.result())
        # Whoever writes into a result writes into a copy; the trace cannot be written into.
        steps.result().x.zero_(), steps.result().z.zero_(), steps.result().trace["value"].fill(0)
        with pytest.raises(ValueError, match="read-only"):
            step.value[:] = 0
    for step, (u, value, evaluations, length) in zip(kept, copies, strict=True):
        assert torch.equal(step.u, u) and len(step.trace["value"]) == length
        np.testing.assert_array_equal(step.value, value)
        np.testing.assert_array_equal(step.evaluations, evaluations)
    for k, result in enumerate(results, 1):
        np.testing.assert_array_equal(result.final.value, alone.trace["value"][k])
        at = objective.from_image(result.x) if formulation is fs.Analysis else result.z
        np.testing.assert_allclose(objective.value(at).numpy(), result.value, rtol=1e-10)
    assert_same(steps.result(), alone)
