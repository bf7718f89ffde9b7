import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve.errors import ArgumentError


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_steps_are_those_of_solve_with_point_value_and_gradient(formulation, tiny_prior, problem):
    objective = formulation(problem, tiny_prior)
    whole = fs.solve(objective, max_iter=6, rtol=None)
    steps = fs.iterate(objective, max_iter=6, rtol=None)
    seen = list(steps)
    assert [step.iteration for step in seen] == [1, 2, 3, 4, 5, 6]
    for k, step in enumerate(seen, 1):
        np.testing.assert_array_equal(step.value, whole.trace["value"][k])
        np.testing.assert_array_equal(step.counts["E"], whole.trace["E"][k])
        value, grad = objective.value_and_grad(step.u)
        np.testing.assert_allclose(value.numpy(), step.value, rtol=1e-12)
        torch.testing.assert_close(grad, step.grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(seen[-1].x, whole.final.x, rtol=0, atol=0)
    result = steps.result()
    for name in whole.trace:
        if name != "seconds":
            np.testing.assert_array_equal(result.trace[name], whole.trace[name])
    assert result.status == whole.status


def test_leaving_the_loop_finishes_the_run_and_its_record(tiny_prior, problem, tmp_path):
    path = tmp_path / "run.h5"
    steps = fs.iterate(fs.Analysis(problem, tiny_prior), max_iter=20, rtol=None, record=path)
    for step in steps:
        if step.iteration == 3:
            break
    assert steps.result().status == ["stopped"] * 3
    record = fs.open_run(path)
    assert record.status == "finished" and record.trace["iteration"].tolist() == [0, 1, 2, 3]


def test_an_image_that_has_ended_has_no_gradient_but_keeps_its_point(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    start = problem.y.clone()
    start[1] = fs.solve(fs.Analysis(problem.select([1]), tiny_prior), max_iter=300, rtol=1e-14).x[0]
    ended = [step for step in fs.iterate(objective, init=start, max_iter=25, rtol=1e-8) if step.n_active < 3][
        -1
    ]
    assert ended.active.tolist() == [True, False, True]
    assert ended.grad[1].isnan().all() and ended.grad[[0, 2]].isfinite().all()
    np.testing.assert_allclose(objective.value(ended.u).numpy(), ended.value, rtol=1e-12)


def test_a_callback_that_stops_leaves_the_trace_of_the_run_without_it(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    whole = fs.solve(objective, max_iter=6, rtol=None)
    stopped = fs.solve(objective, max_iter=6, rtol=None, callback=lambda progress: progress.iteration == 4)
    assert stopped.status == ["stopped"] * 3 and len(stopped.trace["value"]) == 5
    for name in ("value", "grad_norm", "evaluations", "psnr"):
        np.testing.assert_array_equal(stopped.trace[name], whole.trace[name][:5])


def test_bad_arguments_are_those_of_solve(tiny_prior, problem):
    with pytest.raises(ArgumentError, match="did you mean 'lbfgs'"):
        fs.iterate(fs.Analysis(problem, tiny_prior), "lbfsg")
    with pytest.raises(ArgumentError, match="option of solver 'lbfgs'"):
        fs.iterate(fs.Analysis(problem, tiny_prior), histroy=3)
