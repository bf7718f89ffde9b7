import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import classical_start, registry
from flowsolve.methods import Method, MethodRun, Stage, classical_guard
from flowsolve.methods.guard import residual_ratio

OPERATORS = [
    ops.Identity((3, 8, 8)),
    ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1),
    ops.Blur.uniform(3, (3, 8, 8)),
]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
@pytest.mark.parametrize("wreck", ["far", "nan"])
def test_a_wrecked_image_falls_back_and_a_good_one_does_not(operator, wreck):
    problem = make_problem(operator, sigma=0.05)
    x = problem.x_true.clone()
    x[1] = x[1] + 0.5 if wreck == "far" else torch.nan
    out, fallback, notes = classical_guard(problem, x)
    assert fallback.tolist() == [False, True, False]
    torch.testing.assert_close(out[[0, 2]], x[[0, 2]], rtol=0, atol=0)
    name = classical_start(problem)
    torch.testing.assert_close(out[1:2], registry.get(name)(problem.select([1])), rtol=0, atol=0)
    (note,) = notes
    assert note.startswith("1 of 3 images:") and name in note
    assert torch.isnan(x[1]).all() or torch.equal(x[1], problem.x_true[1] + 0.5)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
def test_good_images_are_left_alone(operator):
    problem = make_problem(operator, sigma=0.05)
    out, fallback, notes = classical_guard(problem, problem.x_true)
    assert out is problem.x_true and not fallback.any() and notes == ()


def test_the_truth_changes_nothing():
    problem = make_problem(sigma=0.05)
    blind = fs.InverseProblem(problem.operator, problem.y, sigma=0.05)
    wrecked = problem.x_true + 0.5
    ours, theirs = (classical_guard(p, wrecked) for p in (problem, blind))
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0)
    assert ours[1].tolist() == theirs[1].tolist() == [True] * 3 and ours[2] == theirs[2]


def test_the_residual_is_in_units_of_the_noise():
    problem = make_problem(ops.Identity((3, 8, 8)), sigma=0.1)
    np.testing.assert_allclose(residual_ratio(problem, problem.y + 0.1), 1)
    noiseless = make_problem(ops.Identity((3, 8, 8)), sigma=0.0)
    assert residual_ratio(noiseless, noiseless.y).tolist() == [0] * 3
    assert np.isinf(residual_ratio(noiseless, noiseless.y + 1)).all()


def test_few_measurements_tell_nothing():
    few = make_problem(ops.Downsample(4, (3, 8, 8)), sigma=0.05)
    assert not classical_guard(few, few.x_true + 0.5)[1].any()


def test_without_noise_what_is_far_from_the_measurements_is_sent_back():
    problem = make_problem(sigma=0.0)
    assert classical_guard(problem, problem.x_true + 0.5)[1].all()
    assert not classical_guard(problem, problem.x_true + 0.005)[1].any()


def test_a_guarded_method_keeps_the_classical_restoration_and_says_so(tiny_prior, tmp_path):
    # A prior term of this weight leaves nothing of the measurements.
    stage = Stage(formulation="synthesis", lam=1e3, init="zeros", max_iter=5)
    problem, path = make_problem(sigma=0.05), tmp_path / "run.h5"
    method = Method("m", (stage,), guarded=True)
    going = MethodRun(method, problem, tiny_prior, guard=classical_guard, record=path)
    result, record = going.complete(), fs.open_run(path)
    assert result.fallback.all() and record.outcome["fallback"] == [True] * 3
    assert list(result.notes) == record.outcome["notes"] and "3 of 3 images" in result.notes[0]
    classical = registry.get(classical_start(problem))(problem)
    torch.testing.assert_close(result.x, classical, rtol=0, atol=0)
    np.testing.assert_array_equal(record.best["x"], classical.numpy())
    torch.testing.assert_close(result.z, tiny_prior.encode(classical))
    assert not torch.equal(result.final.x, classical)
    assert fs.rerun(path, prior=tiny_prior).result.fallback.all()


def test_a_classical_restoration_that_fails_is_a_note(tiny_prior, tmp_path, monkeypatch):
    def fails(problem):
        raise RuntimeError("no room")

    problem, path = make_problem(sigma=0.05), tmp_path / "run.h5"
    monkeypatch.setitem(registry._items, classical_start(problem), fails)
    stage = Stage(formulation="synthesis", lam=1e3, init="zeros", max_iter=2)
    method = Method("m", (stage,), guarded=True)
    result = MethodRun(method, problem, tiny_prior, guard=classical_guard, record=path).complete()
    assert not result.fallback.any() and torch.equal(result.x, result.best.x)
    (note,) = fs.open_run(path).outcome["notes"]
    assert note == result.notes[0] and note.endswith("which failed: no room")
    assert fs.open_run(path).status == "finished"
