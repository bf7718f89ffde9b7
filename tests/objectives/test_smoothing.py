import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.flows import PriorCard, save_prior
from flowsolve.objectives import GaussNewton
from flowsolve.objectives.smoothing import Smoothing

OPTIONS = {"phi": "smoothed", "smoothing": 0.05}


def test_perturbations_are_opposite_pairs_of_the_given_deviation_the_same_for_every_image():
    x = make_images(2, size=32)
    found = torch.stack([p - x for p in Smoothing(0.05, draws=4).perturbed(x)])
    torch.testing.assert_close(found[0::2], -found[1::2])
    torch.testing.assert_close(found[:, 0], found[:, 1])
    assert found[0].std() == pytest.approx(0.05, rel=0.05)
    assert not torch.allclose(found[0], found[2])


@pytest.mark.parametrize("draws", [2, 6])
def test_prior_term_is_the_mean_of_nll_over_the_perturbed_images(problem, tiny_prior, draws):
    objective = fs.Analysis(problem, tiny_prior, draws=draws, **OPTIONS)
    x = make_images()
    expected = torch.stack([tiny_prior.energy(p, "nll") for p in Smoothing(0.05, draws).perturbed(x)])
    evaluation = objective.evaluate(x)
    torch.testing.assert_close(evaluation.prior, expected.mean(0))
    torch.testing.assert_close(evaluation.value, evaluation.data_fidelity + objective.lam * evaluation.prior)
    torch.testing.assert_close(evaluation.image, x)


@pytest.mark.parametrize("sigma", [0.05, 0.0])
def test_gradient_is_that_of_the_value(tiny_prior, sigma):
    operator = ops.Mask.box(3, dim_shape=(3, 8, 8))
    objective = fs.Analysis(make_problem(operator, sigma=sigma), tiny_prior, **OPTIONS)
    u = make_images()
    direction = torch.randn(u.shape, generator=torch.Generator().manual_seed(1), dtype=u.dtype)
    _, grad = objective.value_and_grad(u)
    h = 1e-5
    slope = (objective.value(u + h * direction) - objective.value(u - h * direction)) / (2 * h)
    torch.testing.assert_close((grad * direction).flatten(1).sum(1), slope, rtol=1e-6, atol=1e-6)


def test_an_evaluation_counts_once_and_every_pass_of_the_flow(problem, tiny_prior):
    objective = fs.Analysis(problem, tiny_prior, draws=4, **OPTIONS)
    objective.evaluate(make_images())
    counts = {name: count.tolist() for name, count in objective.tally.copy().items() if count.any()}
    once, each = [1, 1, 1], [4, 4, 4]
    assert counts == {
        "evaluations": once, "gradients": once, "A": once, "AT": once, "E": each, "vjp_E": each
    }  # fmt: skip


def test_an_image_has_the_same_objective_alone_as_in_a_batch(problem, tiny_prior):
    objective, x = fs.Analysis(problem, tiny_prior, **OPTIONS), make_images()
    alone = objective.select([1]).value(x[1:2])
    torch.testing.assert_close(alone, objective.value(x)[1:2], rtol=1e-12, atol=0)


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "gradient_descent", "nonlinear_cg", "forward_backward"])
def test_solvers_lower_it(problem, tiny_prior, solver):
    objective = fs.Analysis(problem, tiny_prior, **OPTIONS)
    result = fs.solve(objective, solver, "adjoint", max_iter=15)
    assert (result.trace["value"][-1] < result.trace["value"][0]).all()


def test_its_record_can_be_repeated(problem, tiny_prior, tmp_path):
    save_prior(tmp_path / "prior.safetensors", tiny_prior.glow, PriorCard())
    prior = fs.load_prior(str(tmp_path / "prior.safetensors")).to(dtype=torch.float64)
    objective = fs.Analysis(problem, prior, draws=4, **OPTIONS)
    fs.solve(objective, "lbfgs", "adjoint", max_iter=5, record=tmp_path / "run.h5", seed=0)
    outcome = fs.rerun(tmp_path / "run.h5")
    assert outcome.identical
    assert fs.open_run(tmp_path / "run.h5").config["objective"]["options"] == {"smoothing": 0.05, "draws": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phi": "smoothed", "smoothing": 0.0}, "smoothing: got 0.0; accepted: a number > 0"),
        ({"phi": "smoothed", "smoothing": np.nan}, "smoothing: got nan"),
        ({"phi": "smoothed", "draws": 3}, "draws: got 3; accepted: an even integer >= 2"),
        ({"phi": "nll", "smoothing": 0.1}, "smoothing: .*phi='smoothed' only"),
        ({"phi": "latent", "draws": 2}, "draws: .*phi='smoothed' only"),
    ],
)
def test_wrong_options_are_named(problem, tiny_prior, options, message):
    with pytest.raises(ArgumentError, match=message):
        fs.Analysis(problem, tiny_prior, **options)


def test_over_latents_it_is_refused(problem, tiny_prior):
    with pytest.raises(ArgumentError, match=r"phi: got 'smoothed'; accepted: .* for the synthesis objective"):
        fs.Synthesis(problem, tiny_prior, phi="smoothed")


def test_what_needs_squares_or_two_spaces_says_so(problem, tiny_prior):
    objective = fs.Analysis(problem, tiny_prior, **OPTIONS)
    with pytest.raises(UnsupportedError, match="with phi='smoothed' is not made of the squares"):
        GaussNewton(objective, make_images())
    with pytest.raises(UnsupportedError, match=r"hybrid: .*no formulation of the same F"):
        fs.solve(objective, "hybrid", "adjoint", max_iter=2)
