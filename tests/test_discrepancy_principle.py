import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.fidelities import HeldOutLeastSquares
from flowsolve.rootfinding import BracketedSearch


@pytest.fixture
def noisy():
    return make_problem(ops.Identity((3, 8, 8)), sigma=0.1)


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_every_image_fits_as_well_as_the_noise_allows(formulation, tiny_prior, noisy):
    objective = formulation(noisy, tiny_prior, phi="latent")
    choice = fs.discrepancy(objective, init="zeros", max_iter=60, rtol=0.02)
    np.testing.assert_allclose(choice.target, 0.01 * 192)
    assert choice.found.all()
    residual = (noisy.operator.apply(choice.x) - noisy.y).square().flatten(1).sum(1).numpy()
    np.testing.assert_allclose(residual, choice.misfit, rtol=1e-6)
    np.testing.assert_allclose(residual, choice.target, rtol=0.021)
    again = fs.solve(choice.objective, init=choice.x, max_iter=60)
    np.testing.assert_allclose(2 * again.trace["data_fidelity"][-1], choice.target, rtol=0.05)


def test_the_curve_has_every_solve_and_the_misfit_grows_with_the_weight(tiny_prior, noisy):
    choice = fs.discrepancy(fs.Analysis(noisy, tiny_prior, phi="latent", lam=1.0), max_iter=60)
    lam, misfit = choice.curve["lam"], choice.curve["misfit"]
    assert lam.shape == misfit.shape == choice.curve["psnr"].shape and (lam[0] == 1.0).all()
    for i in range(3):
        tried = ~np.isnan(lam[:, i])
        order = np.argsort(lam[tried, i])
        assert (np.diff(misfit[tried, i][order]) >= -1e-3 * choice.target[i]).all()
        assert choice.lam[i] in lam[tried, i]
    assert len(set(choice.lam)) == 3
    assert (choice.evaluations > 0).all()


def test_a_chosen_objective_is_recorded_with_the_weights_of_its_images(tiny_prior, noisy, tmp_path):
    objective = fs.discrepancy(fs.Synthesis(noisy, tiny_prior), max_iter=20, max_solves=4).objective
    path = tmp_path / "run.h5"
    fs.solve(objective, max_iter=5, record=path)
    np.testing.assert_array_equal(fs.open_run(path).config["objective"]["lam"], objective.lam.numpy())
    assert fs.rerun(path, prior=tiny_prior).identical


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
@pytest.mark.parametrize("phi", ["latent", "nll", "typical"])
def test_weights_of_images_are_those_of_the_images_alone(formulation, phi, tiny_prior, noisy):
    weights = [0.01, 0.3, 2.0]
    together = formulation(noisy, tiny_prior, phi=phi, lam=weights)
    u = together.from_latent(torch.randn(3, tiny_prior.n, dtype=torch.float64))
    value, grad = together.value_and_grad(u)
    for i, lam in enumerate(weights):
        alone = formulation(noisy.select([i]), tiny_prior, phi=phi, lam=lam)
        expected, slope = alone.value_and_grad(u[i : i + 1])
        torch.testing.assert_close(value[i : i + 1], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(grad[i : i + 1], slope, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(together.select([i]).value(u[i : i + 1]), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lam", [[0.1, 0.2], [0.1, 0.2, -1.0], [0.1, 0.2, float("nan")]])
def test_bad_weights_of_images_are_named(lam, tiny_prior, noisy):
    with pytest.raises(ArgumentError, match="lam: got"):
        fs.Analysis(noisy, tiny_prior, lam=lam)


def test_what_has_no_discrepancy_is_refused(tiny_prior, noisy):
    with pytest.raises(UnsupportedError, match="sigma > 0"):
        fs.discrepancy(fs.Synthesis(make_problem(sigma=0.0), tiny_prior))
    with pytest.raises(UnsupportedError, match="not HeldOutLeastSquares"):
        fs.discrepancy(fs.Analysis(noisy, tiny_prior, fidelity=HeldOutLeastSquares()))
    with pytest.raises(ArgumentError, match=r"record: got run.h5; accepted: none here"):
        fs.discrepancy(fs.Analysis(noisy, tiny_prior), record="run.h5")
    with pytest.raises(ArgumentError, match="tau: got 0"):
        fs.discrepancy(fs.Analysis(noisy, tiny_prior), tau=0)


def test_bracketed_search_finds_the_roots_of_many_functions():
    roots = np.array([-7.3, 0.2, 5.0, 11.9])
    functions = [np.tanh, lambda t: t**3, lambda t: np.expm1(0.3 * t), lambda t: t + np.abs(t)]
    search = BracketedSearch(np.zeros(4), stride=2.0, width=1e-9, reach=30.0)
    calls = 0
    while not search.done.all():
        calls += 1
        values = np.array([f(t - r) for f, t, r in zip(functions, search.point, roots, strict=True)])
        search.tell(values, 1e-12)
    np.testing.assert_allclose(search.point[:3], roots[:3], atol=1e-4)
    # Bisection of a bracket of 2 to 1e-9 takes 31 steps; ITP is allowed two more, after six of expansion.
    assert calls <= 7 + 33


def test_bracketed_search_gives_up_beyond_its_reach_with_the_nearest_point():
    search = BracketedSearch(np.zeros(1), stride=2.0, width=1e-3, reach=9.0)
    for _ in range(20):
        search.tell(-1 - np.exp(-search.point), 1e-3)
    assert search.done.all() and search.point[0] == 8
