import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.solvers import LBFGS, Continuation


def test_the_trace_is_of_the_objective_and_says_which_weight_was_minimised(tiny_prior, problem):
    objective = fs.Synthesis(problem, tiny_prior, phi="latent", lam=0.01)
    result = fs.solve(objective, continuation=[100, 10], max_iter=30, rtol=None)
    trace = result.trace
    np.testing.assert_allclose(trace["value"], trace["data_fidelity"] + 0.01 * trace["prior"], rtol=1e-12)
    for i in range(3):
        weights = trace["lam"][:, i]
        changes = np.flatnonzero(np.diff(weights))
        assert [weights[k] for k in (0, *(changes + 1))] == pytest.approx([1.0, 0.1, 0.01])
    np.testing.assert_allclose(objective.value(result.z).numpy(), result.value, rtol=1e-10)


def test_each_stage_is_the_inner_solver_started_where_the_last_one_ended(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, lam=0.01)
    solver = Continuation(LBFGS(), factors=[10], iterations=6, rtol=0)
    result = fs.solve(objective, solver, max_iter=12, rtol=None)
    first = fs.solve(fs.Analysis(problem, tiny_prior, lam=0.1), max_iter=6, rtol=None)
    second = fs.solve(fs.Analysis(problem, tiny_prior, lam=0.01), init=first.final.x, max_iter=6, rtol=None)
    torch.testing.assert_close(result.final.x, second.final.x, rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(
        result.counts["evaluations"], first.counts["evaluations"] + second.counts["evaluations"]
    )


@pytest.mark.parametrize("solver", ["adam", "gradient_descent", "lbfgs", "forward_backward", "hybrid"])
def test_it_wraps_any_solver_and_images_stay_independent(solver, tiny_prior):
    operator = ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3)
    problem = make_problem(operator)
    options = {"continuation": [30, 3], "max_iter": 70, "rtol": None}
    together = fs.solve(fs.Analysis(problem, tiny_prior), solver, **options)
    assert (together.trace["lam"][-1] == problem.sigma**2 / 2).all()
    alone = fs.solve(fs.Analysis(problem.select([1]), tiny_prior), solver, **options)
    np.testing.assert_array_equal(alone.trace["lam"][:, 0], together.trace["lam"][:, 1])
    np.testing.assert_allclose(alone.value[0], together.value[1], rtol=1e-6)


def test_no_image_has_converged_while_its_weight_still_changes(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    solver = Continuation(factors=[10.0], iterations=60, rtol=0)
    result = fs.solve(objective, solver, max_iter=400, rtol=1e-2)
    assert result.status == ["converged"] * 3
    assert (result.iterations >= 60).all()


@pytest.mark.parametrize("at", [3, 8])
def test_a_recorded_run_continues_bit_by_bit(at, tiny_prior, problem, tmp_path):
    objective = fs.Synthesis(problem, tiny_prior)
    options = {"continuation": [10, 3], "max_iter": 14, "rtol": None}
    whole = fs.solve(objective, "lbfgs", **options)

    def stop(progress):
        if progress.iteration == at:
            raise KeyboardInterrupt

    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        fs.solve(objective, "lbfgs", record=path, checkpoint_seconds=0, callback=stop, **options)
    config = fs.open_run(path).config["solver"]
    assert config["name"] == "continuation" and config["options"]["inner"]["name"] == "lbfgs"
    result = fs.resume(path, prior=tiny_prior)
    torch.testing.assert_close(result.x, whole.x, rtol=0, atol=0)
    for name in ("value", "lam"):
        np.testing.assert_array_equal(result.trace[name], whole.trace[name])


def test_a_prior_without_a_weight_is_refused(tiny_prior, problem):
    with pytest.raises(UnsupportedError, match=r"continuation: with the hard constraint.*use one of .*lbfgs"):
        fs.solve(fs.Analysis(make_problem(sigma=0.0), tiny_prior), continuation=[10])
    with pytest.raises(UnsupportedError, match="multiples of lam = 0"):
        fs.solve(fs.Analysis(problem, tiny_prior, lam=0.0), continuation=[10])


@pytest.mark.parametrize("factors", [[], 10, "10", [10, -1]])
def test_bad_factors_are_named(factors):
    with pytest.raises(ArgumentError, match="factors: got"):
        Continuation(factors=factors)
