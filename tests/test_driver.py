import math

import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.stopping import Discrepancy, GradientNorm, make_criterion

SOLVERS = ("gradient_descent", "adam", "lbfgs", "forward_backward")
FORMULATIONS = (fs.Analysis, fs.Synthesis)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("phi", ["latent", "nll"])
def test_every_solver_lowers_every_objective(solver, formulation, phi, tiny_prior, problem):
    objective = formulation(problem, tiny_prior, phi=phi)
    result = fs.solve(objective, solver, "zeros", max_iter=15, rtol=None)
    assert (result.value < result.trace["value"][0]).all()
    assert torch.isfinite(result.x).all() and torch.isfinite(result.z).all()
    u = result.x if formulation is fs.Analysis else result.z
    np.testing.assert_allclose(objective.value(u).numpy(), result.value, rtol=1e-10)
    torch.testing.assert_close(tiny_prior.decode(result.z), result.x, rtol=0, atol=1e-8)


def test_lbfgs_converges_from_different_starts_to_the_same_value_when_there_is_one(tiny_prior):
    # With strong data the problem is nearly the data term's alone.
    problem = make_problem(ops.Identity(dim_shape=(3, 8, 8)), sigma=0.01)
    values = [
        fs.solve(fs.Analysis(problem, tiny_prior), "lbfgs", init, max_iter=400, rtol=1e-12).value
        for init in ("zeros", "adjoint")
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_images_of_a_batch_are_restored_as_they_would_be_alone(solver, tiny_prior):
    operator = ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3)
    problem = make_problem(operator)
    together = fs.solve(fs.Analysis(problem, tiny_prior), solver, "adjoint", max_iter=12, rtol=None)
    for i in range(3):
        alone = fs.solve(
            fs.Analysis(problem.select([i]), tiny_prior), solver, "adjoint", max_iter=12, rtol=None
        )
        torch.testing.assert_close(alone.x[0], together.x[i], rtol=1e-7, atol=1e-9)
        assert alone.counts["evaluations"][0] == together.counts["evaluations"][i]


def test_trace_has_the_start_and_every_iteration(tiny_prior, problem):
    result = fs.solve(fs.Analysis(problem, tiny_prior), max_iter=5, rtol=None)
    trace = result.trace
    assert all(column.shape == (6, 3) for column in trace.values())
    np.testing.assert_allclose(trace["value"], trace["data_fidelity"] + 0.05**2 / 2 * trace["prior"])
    assert (np.diff(trace["evaluations"], axis=0) >= 1).all() and (
        np.diff(trace["seconds"], axis=0) >= 0
    ).all()
    mse = (result.final.x.clamp(0, 1) - problem.x_true).square().flatten(1).mean(1)
    np.testing.assert_allclose(trace["psnr"][-1], -10 * np.log10(mse.numpy()))
    np.testing.assert_array_equal(trace["evaluations"][-1], result.counts["evaluations"])


def test_without_a_truth_there_is_no_psnr(tiny_prior, problem):
    blind = fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)
    assert "psnr" not in fs.solve(fs.Analysis(blind, tiny_prior), max_iter=1).trace


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"max_iter": 3}, "max_iter"),
        ({"max_iter": None, "max_evaluations": 6}, "max_evaluations"),
        ({"max_iter": None, "max_seconds": 1e-9}, "timeout"),
        ({"max_iter": 50, "stopping": GradientNorm(1e9)}, "converged"),
        ({"max_iter": 50, "stopping": Discrepancy(1.0)}, "discrepancy"),
        ({"max_iter": 500, "rtol": 1e-2}, "converged"),
    ],
)
def test_budgets_end_a_run_and_say_so(limits, status, tiny_prior, problem):
    result = fs.solve(fs.Analysis(problem, tiny_prior), **limits)
    assert result.status == [status] * 3
    if "max_evaluations" in limits:
        assert (result.counts["evaluations"] >= 6).all() and (result.counts["evaluations"] <= 27).all()


def test_zero_iterations_return_the_start(tiny_prior, problem):
    result = fs.solve(fs.Analysis(problem, tiny_prior), init=problem.y, max_iter=0)
    torch.testing.assert_close(result.x, problem.y)
    assert result.trace["value"].shape == (1, 3) and result.status == ["max_iter"] * 3


def test_finished_images_cost_nothing_more_and_keep_their_values(tiny_prior):
    problem = make_problem(n=3)
    objective = fs.Analysis(problem, tiny_prior)

    class StopFirst(GradientNorm):
        def reached(self, progress):
            return np.array([progress.iteration >= 2, False, False])

    result = fs.solve(objective, "adam", max_iter=6, rtol=None, stopping=StopFirst(1.0))
    assert result.iterations.tolist() == [2, 6, 6]
    assert result.status == ["converged", "max_iter", "max_iter"]
    assert result.counts["evaluations"].tolist() == [3, 7, 7]
    assert len(set(result.trace["value"][2:, 0])) == 1


def test_a_diverging_run_is_rolled_back_to_its_best_and_says_so(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    start = fs.solve(objective, init="adjoint", max_iter=0).value
    result = fs.solve(objective, "gradient_descent", "adjoint", search="fixed", step_size=1e3, max_iter=60)
    assert result.status == ["diverged"] * 3
    assert (result.value <= start).all() and np.isfinite(result.value).all()
    assert torch.isfinite(result.x).all() and torch.isfinite(result.final.x).all()
    assert all(np.isfinite(column).all() for column in result.trace.values())


@pytest.mark.parametrize("solver", SOLVERS)
def test_gradients_that_turn_to_nan_do_no_harm(solver, tiny_prior, problem, monkeypatch):
    objective = fs.Analysis(problem, tiny_prior)
    evaluate, calls = fs.Analysis._evaluate_prior, []

    def spoilt(self, x, gradient):
        calls.append(len(x))
        evaluation = evaluate(self, x, gradient)
        if len(calls) > 6:
            evaluation.value = evaluation.value * math.nan
            if evaluation.grad is not None:
                evaluation.grad = evaluation.grad * math.nan
        return evaluation

    monkeypatch.setattr(fs.Analysis, "_evaluate_prior", spoilt)
    result = fs.solve(objective, solver, "adjoint", max_iter=30)
    assert set(result.status) <= {"diverged", "stalled"}
    assert np.isfinite(result.value).all() and torch.isfinite(result.x).all()
    assert (result.value <= result.trace["value"][0]).all()


def test_best_is_a_copy_of_the_lowest_iterate_and_final_the_last(tiny_prior, problem):
    # A learning rate this large makes Adam overshoot, so the last iterate is not the best.
    result = fs.solve(fs.Analysis(problem, tiny_prior), "adam", "adjoint", lr=0.3, max_iter=25, rtol=None)
    assert (result.best.value == result.trace["value"].min(0)).all()
    assert (result.best.iteration == result.trace["value"].argmin(0)).all()
    np.testing.assert_allclose(result.final.value, result.trace["value"][-1])
    assert (result.final.value > result.best.value).any()
    assert result.x is result.best.x


def test_callback_sees_progress_and_can_stop(tiny_prior, problem):
    seen = []

    def callback(progress):
        seen.append((progress.iteration, progress.n_active, progress.psnr.shape, progress.evaluations.min()))
        return progress.iteration == 3

    result = fs.solve(fs.Analysis(problem, tiny_prior), max_iter=10, rtol=None, callback=callback)
    assert [s[0] for s in seen] == [1, 2, 3]
    assert seen[-1][1:3] == (3, (3,))
    assert result.status == ["stopped"] * 3


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_starts_may_be_images_or_latents(formulation, tiny_prior, problem):
    objective, x = formulation(problem, tiny_prior), make_images()
    for init in (x, tiny_prior.encode(x)):
        result = fs.solve(objective, init=init, max_iter=0)
        torch.testing.assert_close(result.x, x, rtol=0, atol=1e-9)


def test_counts_agree_with_a_counting_wrapper(tiny_prior, problem, monkeypatch):
    calls = {"encode": 0, "apply": 0}
    encode, apply = type(tiny_prior).encode, ops.Mask.apply

    def counting_encode(self, x, log_det=False):
        calls["encode"] += len(x)
        return encode(self, x, log_det)

    def counting_apply(self, x):
        calls["apply"] += len(x)
        return apply(self, x)

    objective = fs.Analysis(problem, tiny_prior)
    for solver in SOLVERS:
        run = fs.Run(objective, fs.solvers.make_solver(solver), "adjoint", limits=LIMITS)
        with monkeypatch.context() as patch, run:
            for progress in run:
                if progress.iteration == 1:
                    calls.update(encode=0, apply=0)
                    before = {k: v.sum() for k, v in run.tally.copy().items()}
                    patch.setattr(type(tiny_prior), "encode", counting_encode)
                    patch.setattr(ops.Mask, "apply", counting_apply)
                if progress.iteration == 6:
                    after = {k: v.sum() for k, v in run.tally.copy().items()}
                    seen = dict(calls)
                    break
        assert after["E"] - before["E"] == seen["encode"]
        # prox_l2 applies the operator once inside its closed form, which the wrapper sees too.
        assert after["A"] - before["A"] == seen["apply"]


LIMITS = {"max_iter": 8, "max_evaluations": None, "max_seconds": None, "rtol": None}


def test_a_start_without_a_finite_objective_is_refused(tiny_prior, problem):
    huge = torch.full((3, 3, 8, 8), 1e200, dtype=torch.float64)
    with pytest.raises(
        ArgumentError, match=r"init: got a start at which F is not finite \(images \[0, 1, 2\]\)"
    ):
        fs.solve(fs.Analysis(problem, tiny_prior), init=huge)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_iter": -1}, "max_iter: got -1; accepted: an integer >= 0"),
        ({"max_evaluations": 1.5}, "max_evaluations: got 1.5"),
        ({"max_iter": None}, "at least one of"),
        ({"solver": "lbfsg"}, "did you mean 'lbfgs'"),
        ({"init": "zeroes"}, "did you mean 'zeros'"),
        ({"init": torch.zeros(2, 2)}, r"init: got tensor of shape \(2, 2\)"),
        ({"max_iters": 3}, "option of solver 'lbfgs': got max_iters"),
    ],
)
def test_bad_arguments_are_named(arguments, message, tiny_prior, problem):
    with pytest.raises(ArgumentError, match=message):
        fs.solve(fs.Analysis(problem, tiny_prior), **arguments)


def test_criterion_says_converged_before_out_of_budget():
    config = make_criterion(5, None, None, 1e-3).config()
    assert config == {"either": [{"RelativeChange": 1e-3, "window": 10}, {"MaxIterations": 5}]}
