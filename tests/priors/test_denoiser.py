"""A denoiser as a prior: by its residual (RED) and as a proximal step (plug-and-play)."""

import numpy as np
import pytest
import torch
from helpers import make_images, make_problem
from outside_priors import Smoother, make_denoiser, make_numpy_denoiser

import flowsolve as fs
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.operators import Identity
from flowsolve.priors import DenoiserPrior

RED = {"lam": 0.5, "phi": "red"}


def test_red_is_the_residual_and_has_no_value():
    problem, x = make_problem(), make_images() + 0.01
    objective = fs.Analysis(problem, make_denoiser(sigma=0.05), lam=0.5)
    assert objective.phi == "red" and not objective.has_value and objective.config()["has_value"] is False
    evaluation = objective.evaluate(x)
    data = problem.operator.adjoint(problem.operator.apply(x) - problem.y)
    torch.testing.assert_close(evaluation.grad, data + 0.5 * (x - Smoother().double()(x, 0.05)))
    assert evaluation.value.isnan().all() and evaluation.data_fidelity.isfinite().all()


def test_red_with_a_potential_is_a_function_that_line_searches_take():
    prior = make_denoiser(sigma=0.05, potential="homogeneous")
    objective = fs.Analysis(make_problem(), prior, **RED)
    assert objective.has_value
    lowest = fs.solve(objective, "lbfgs", max_iter=100, rtol=1e-12)
    descent = fs.solve(
        fs.Analysis(make_problem(), make_denoiser(sigma=0.05), **RED),
        "gradient_descent",
        search="fixed",
        step_size=0.9,
        max_iter=300,
        rtol=1e-16,
    )
    torch.testing.assert_close(descent.x, lowest.x, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("solver", "options"),
    [
        ("gradient_descent", {"search": "fixed", "step_size": 0.9}),
        ("forward_backward", {"split": "prior", "momentum": "none", "step_size": 1.5}),
        ("forward_backward", {"split": "data", "step_size": 0.6}),
        ("momentum", {"search": "fixed", "beta": 0.5, "step_size": 0.6}),
        ("adam", {"schedule": "cosine", "horizon": 150}),
    ],
)
def test_solvers_without_values_find_the_fixed_point_of_red(solver, options):
    objective = fs.Analysis(make_problem(), make_denoiser(sigma=0.05), **RED)
    result = fs.solve(objective, solver, max_iter=200, rtol=1e-10, **options)
    gradient = objective.evaluate(result.x).grad.flatten(1).norm(dim=1)
    start = result.trace["grad_norm"][1]
    assert (gradient.numpy() < 0.02 * start).all()
    assert np.isnan(result.value).all() and (result.best.iteration == result.iterations).all()
    assert set(result.status) <= {"converged", "max_iter"}


def test_stops_watch_the_fixed_point_residual():
    objective = fs.Analysis(make_problem(), make_denoiser(sigma=0.05), **RED)
    result = fs.solve(objective, "gradient_descent", search="fixed", step_size=0.9, max_iter=500, rtol=1e-8)
    assert result.status == ["converged"] * 3 and (result.iterations < 500).all()
    last = result.trace["residual"][-10:]
    assert (last <= 1e-4).all() and np.isnan(result.trace["residual"][0]).all()
    before = result.trace["residual"][result.iterations.min() - 11 : result.iterations.min() - 9]
    assert (before > 1e-4).any()


@pytest.mark.parametrize(
    "solver", ["lbfgs", "gradient_descent", "nonlinear_cg", "scipy:L-BFGS-B", "continuation"]
)
def test_what_compares_values_refuses(solver):
    with pytest.raises(UnsupportedError, match=r"F has no value with the prior term 'red'.*forward_backward"):
        fs.solve(fs.Analysis(make_problem(), make_denoiser(sigma=0.05)), solver)


def test_the_level_of_plug_and_play_is_that_of_the_proximal_step():
    asked = []

    def spy(x, sigma):
        asked.append(sigma)
        return x

    problem = make_problem(sigma=0.05)
    fs.solve(
        fs.Analysis(problem, DenoiserPrior(spy, dtype=torch.float64)), "hqs", max_iter=5, horizon=5, rtol=None
    )
    np.testing.assert_allclose(asked, np.geomspace(49 / 255, 0.05, 5))
    asked.clear()
    objective = fs.Analysis(problem, DenoiserPrior(spy, dtype=torch.float64), lam=0.02)
    tau = torch.full((3,), 0.25, dtype=torch.float64)
    objective.prox_prior(make_images(), tau)
    assert asked == [pytest.approx(0.1)]
    asked.clear()
    DenoiserPrior(spy, dtype=torch.float64).denoise_each(make_images(), torch.tensor([0.1, 0.2, 0.1]))
    assert sorted(set(asked)) == [pytest.approx(0.1), pytest.approx(0.2)] and len(asked) == 2


@pytest.mark.parametrize("solver", ["hqs", "admm", "forward_backward"])
def test_plug_and_play_removes_noise(solver):
    operator, clean = Identity(dim_shape=(3, 8, 8)), make_images()
    y = fs.degrade(operator, clean, sigma=0.1, seed=0)
    problem = fs.InverseProblem(operator, y, sigma=0.1, x_true=clean)
    prior = make_numpy_denoiser(sigma=0.1 if solver == "forward_backward" else None)
    result = fs.solve(fs.Analysis(problem, prior, phi="pnp"), solver, y, max_iter=15, rtol=None)
    assert (result.trace["psnr"][-1] > result.trace["psnr"][0] + 1.5).all()


def test_plug_and_play_has_no_gradient_and_takes_a_hard_constraint():
    problem = make_problem(sigma=0.0)
    objective = fs.Analysis(problem, make_denoiser())
    assert objective.phi == "pnp" and objective.constrained
    result = fs.solve(objective, "hqs", max_iter=6, rtol=None)
    np.testing.assert_allclose(problem.operator.apply(result.x), problem.y, atol=1e-12)
    with pytest.raises(
        UnsupportedError, match="adam: the prior term 'pnp' has a proximal step but no gradient"
    ):
        fs.solve(objective, "adam")
    with pytest.raises(
        UnsupportedError, match="takes the proximal step, which leaves none for a hard constraint"
    ):
        fs.solve(objective, "forward_backward")


@pytest.mark.parametrize(
    ("prior", "solver", "options"),
    [
        (make_denoiser(sigma=0.05), "gradient_descent", {"search": "fixed"}),
        (make_denoiser(), "admm", {"sigma_start": 0.2}),
        (make_numpy_denoiser(), "hqs", {}),
    ],
)
def test_record_resume_and_rerun(prior, solver, options, tmp_path):
    objective = fs.Analysis(make_problem(), prior, lam=0.01)
    whole = fs.solve(objective, solver, max_iter=8, rtol=None, **options)

    def stop(progress):
        return progress.iteration == 4 and (_ for _ in ()).throw(KeyboardInterrupt)

    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        fs.solve(
            objective,
            solver,
            max_iter=8,
            rtol=None,
            record=path,
            checkpoint_seconds=0,
            callback=stop,
            **options,
        )
    resumed = fs.resume(path, prior=prior)
    torch.testing.assert_close(resumed.x, whole.x, atol=0, rtol=0)
    assert fs.rerun(path, prior=prior).identical
    assert fs.open_run(path).config["objective"]["has_value"] is False


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DenoiserPrior(7), "denoiser: got int"),
        (lambda: make_denoiser(sigma=-1), "sigma: got -1"),
        (lambda: make_denoiser(sigma=0.1, potential="no"), "potential: got 'no'"),
        (lambda: make_denoiser(potential="homogeneous"), "sigma: got None"),
        (lambda: fs.Analysis(make_problem(), make_denoiser(), phi="red"), "phi: got 'red'; accepted: 'pnp'"),
        (
            lambda: DenoiserPrior(lambda x, s: x[:1]).denoise(torch.zeros(2, 3, 8, 8), 0.1),
            r"denoiser: got a function that returns shape \(1, 3, 8, 8\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
