import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.fidelities import Huber, KullbackLeibler, WeightedLeastSquares
from flowsolve.functionals import Box
from flowsolve.noise import Poisson

FORMULATIONS = (fs.Analysis, fs.Synthesis)
PHIS = ("latent", "nll")


def point(objective, seed=0):
    """Return a variable near data: random latents of moderate size, as images for analysis."""
    generator = torch.Generator().manual_seed(seed)
    z = 0.5 * torch.randn(len(objective), objective.prior.n, generator=generator, dtype=torch.float64)
    return objective.from_latent(z)


def operators():
    shape = (3, 8, 8)
    return {
        "mask": ops.Mask.random(missing=0.4, dim_shape=shape, seed=1),
        "per-image masks": ops.Mask.random(missing=0.4, dim_shape=shape, seed=1, n_images=3),
        "blur": ops.Blur.uniform(3, dim_shape=shape),
        "zero-padded blur": ops.Blur.gaussian(1.0, dim_shape=shape, boundary="zero"),
        "downsample": ops.Downsample(2, dim_shape=shape),
    }


@pytest.mark.parametrize("operator", operators().values(), ids=operators())
@pytest.mark.parametrize("phi", PHIS)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_gradient_agrees_with_finite_differences(formulation, phi, operator, tiny_prior):
    objective = formulation(make_problem(operator), tiny_prior, phi=phi, lam=0.02)
    u = point(objective)
    _, grad = objective.value_and_grad(u)
    generator = torch.Generator().manual_seed(7)
    for _ in range(3):
        v = torch.randn(u.shape, generator=generator, dtype=u.dtype)
        h = 1e-5
        difference = (objective.value(u + h * v) - objective.value(u - h * v)) / (2 * h)
        along = (grad * v).flatten(1).sum(1)
        torch.testing.assert_close(along, difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("phi", PHIS)
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_constrained_and_map_gradients_agree_with_finite_differences(phi, sigma, tiny_prior):
    objective = fs.Analysis(make_problem(sigma=sigma), tiny_prior, phi=phi, lam="map")
    assert objective.constrained == (sigma == 0)
    u = point(objective)
    _, grad = objective.value_and_grad(u)
    v = torch.randn(u.shape, generator=torch.Generator().manual_seed(1), dtype=u.dtype)
    difference = (objective.value(u + 1e-5 * v) - objective.value(u - 1e-5 * v)) / 2e-5
    torch.testing.assert_close((grad * v).flatten(1).sum(1), difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("phi", PHIS)
def test_both_formulations_are_one_objective(phi, tiny_prior, problem):
    analysis = fs.Analysis(problem, tiny_prior, phi=phi, lam=0.01)
    synthesis = fs.Synthesis(problem, tiny_prior, phi=phi, lam=0.01)
    z = point(synthesis)
    torch.testing.assert_close(
        synthesis.value(z), analysis.value(tiny_prior.decode(z)), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_terms_add_up(formulation, tiny_prior, problem):
    objective = formulation(problem, tiny_prior, phi="nll", lam=0.03)
    evaluation = objective.evaluate(point(objective))
    torch.testing.assert_close(evaluation.value, evaluation.data_fidelity + 0.03 * evaluation.prior)
    x = objective.image(point(objective))
    data = 0.5 * (problem.operator.apply(x) - problem.y).square().flatten(1).sum(1)
    torch.testing.assert_close(evaluation.data_fidelity, data)
    torch.testing.assert_close(evaluation.prior, tiny_prior.energy(x, "nll"))


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_every_image_is_its_own_problem(formulation, tiny_prior):
    operator = ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3)
    objective = formulation(make_problem(operator), tiny_prior)
    u = point(objective)
    value, grad = objective.value_and_grad(u)
    for i in range(3):
        one_value, one_grad = objective.select([i]).value_and_grad(u[i : i + 1])
        torch.testing.assert_close(one_value[0], value[i], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(one_grad[0], grad[i], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_selected_images_are_counted_on_their_own(formulation, tiny_prior, problem):
    objective = formulation(problem, tiny_prior)
    u = point(objective)
    objective.evaluate(u)
    objective.select([1]).evaluate(u[1:2], gradient=False)
    counts = objective.tally.counts
    network = "E" if formulation is fs.Analysis else "D"
    assert counts["evaluations"].tolist() == [1, 2, 1]
    assert counts["gradients"].tolist() == [1, 1, 1]
    assert counts[network].tolist() == [1, 2, 1]
    assert counts[f"vjp_{network}"].tolist() == [1, 1, 1]
    assert counts["A"].tolist() == [1, 2, 1] and counts["AT"].tolist() == [1, 1, 1]


def test_lam_map_is_half_the_noise_variance(tiny_prior):
    assert fs.Analysis(make_problem(sigma=0.1), tiny_prior).lam == pytest.approx(0.005)


def test_lam_may_be_a_multiple_of_map(tiny_prior):
    for text in ("0.3map", "0.3 map", " 0.3map "):
        objective = fs.Analysis(make_problem(sigma=0.1), tiny_prior, lam=text)
        assert objective.lam == pytest.approx(0.0015) and objective.config()["lam"] == objective.lam
    noiseless = fs.Analysis(make_problem(sigma=0.0), tiny_prior, lam="0.3map")
    assert noiseless.constrained and noiseless.config()["lam"] == "map"
    for text in ("-1map", "amap", "infmap", "map2"):
        with pytest.raises(ArgumentError, match="lam"):
            fs.Analysis(make_problem(sigma=0.1), tiny_prior, lam=text)


@pytest.mark.parametrize("split", ["prior", "data"])
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_analysis_splits_add_up(split, sigma, tiny_prior):
    objective = fs.Analysis(make_problem(sigma=sigma), tiny_prior)
    parts = objective.split(split)
    u = parts.prox(point(objective), torch.full((3,), 0.1, dtype=torch.float64))
    merged = parts.merge(u, parts.smooth(u, gradient=False))
    torch.testing.assert_close(merged.value, objective.value(u), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("phi", PHIS)
def test_synthesis_split_adds_up_and_its_prox_is_the_minimiser(phi, tiny_prior, problem):
    objective = fs.Synthesis(problem, tiny_prior, phi=phi, lam=0.2)
    parts = objective.split()
    v, tau = point(objective), torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    torch.testing.assert_close(
        parts.merge(v, parts.smooth(v)).value, objective.value(v), rtol=1e-10, atol=1e-10
    )
    u = parts.prox(v, tau)
    stationarity = 2 * 0.2 * u + (u - v) / tau[:, None]
    assert stationarity.abs().max() < 1e-12


def test_extra_term_leaves_only_the_split_that_can_take_it(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, lam=0.01, extra=Box(0, 1))
    assert list(objective.splits()) == ["data"]
    u = point(objective).clamp(0, 1)
    torch.testing.assert_close(objective.value(u), fs.Analysis(problem, tiny_prior, lam=0.01).value(u))
    assert torch.isinf(objective.value(u + 2)).all()
    with pytest.raises(UnsupportedError, match="forward_backward"):
        objective.value_and_grad(u)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phi": "l2"}, "phi: got 'l2'; accepted: 'latent' or 'nll'"),
        ({"lam": -1}, "lam: got -1"),
        ({"lam": "auto"}, "lam: got 'auto'; accepted: 'map', a multiple"),
        ({"lam": float("inf")}, "lam: got inf"),
        ({"lam": True}, "lam"),
        ({"extra": 3}, "extra: got int"),
        ({"fidelity": 3}, "fidelity: got int"),
        ({"prior": 3}, "prior: got int"),
        ({"problem": 3}, "problem: got int"),
    ],
)
def test_bad_arguments_are_named(change, message, tiny_prior, problem):
    arguments = {"problem": problem, "prior": tiny_prior} | change
    with pytest.raises(ArgumentError, match=message):
        fs.Analysis(arguments.pop("problem"), arguments.pop("prior"), **arguments)


def test_images_that_the_prior_does_not_take_are_refused_with_the_size_it_takes(tiny_prior):
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    problem = fs.InverseProblem(ops.Identity(dim_shape=(3, 16, 16)), x, sigma=0.1)
    with pytest.raises(ArgumentError, match=r"\(3, 16, 16\); accepted: \(3, 8, 8\), as the prior 'tiny'"):
        fs.Analysis(problem, tiny_prior)


def test_variable_of_the_wrong_shape_is_refused(tiny_prior, problem):
    with pytest.raises(ArgumentError, match=r"u: got shape \(1, 2\); accepted: \(3, 3, 8, 8\)"):
        fs.Analysis(problem, tiny_prior).value(torch.zeros(1, 2, dtype=torch.float64))
    with pytest.raises(ArgumentError, match="u: got list"):
        fs.Analysis(problem, tiny_prior).value([0.0])


def test_unknown_split_lists_the_splits(tiny_prior, problem):
    with pytest.raises(ArgumentError, match="split: got 'dual'; accepted: 'auto' or 'prior' or 'data'"):
        fs.Analysis(problem, tiny_prior).split("dual")


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize(
    "fidelity", [KullbackLeibler(peak=50, background=0.2), Huber(0.02)], ids=lambda f: type(f).__name__
)
def test_other_fidelities_take_the_place_of_least_squares(formulation, fidelity, tiny_prior):
    operator = ops.Blur.uniform(3, dim_shape=(3, 8, 8))
    x = make_images()
    y = fs.degrade(operator, x, noise=Poisson(peak=50), seed=0)
    objective = formulation(fs.InverseProblem(operator, y, sigma=0.1), tiny_prior, fidelity=fidelity)
    assert objective.lam == 0.5
    u = objective.from_image(x)
    expected = fidelity.value(operator.apply(x), y)
    torch.testing.assert_close(objective.evaluate(u).data_fidelity, expected)
    _, grad = objective.value_and_grad(u)
    v = torch.randn(u.shape, generator=torch.Generator().manual_seed(1), dtype=u.dtype)
    difference = (objective.value(u + 1e-6 * v) - objective.value(u - 1e-6 * v)) / 2e-6
    torch.testing.assert_close((grad * v).flatten(1).sum(1), difference, rtol=1e-5, atol=1e-6)
    assert "prior" not in objective.splits()
    result = fs.solve(objective, "lbfgs", x, max_iter=5)
    assert (result.value < result.trace["value"][0]).all()


def test_a_fidelity_with_weights_per_image_follows_the_selection(tiny_prior, problem):
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).reshape(3, 1, 1, 1).expand(3, 3, 8, 8)
    fidelity = WeightedLeastSquares(weights.numpy(), per_image=True)
    objective = fs.Analysis(problem, tiny_prior, lam=0.01, fidelity=fidelity)
    u = point(objective)
    torch.testing.assert_close(objective.select([2]).value(u[2:]), objective.value(u)[2:])
