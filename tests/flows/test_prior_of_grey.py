"""A flow of colour images on grey ones: channels tied, measurements counted once, no colour anywhere."""

import numpy as np
import pytest
import torch
from helpers import make_images, make_tiny_prior

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.flows import FlowPrior, Glow, GlowConfig
from flowsolve.flows.raw import raw_prior

SHAPE = (1, 8, 8)


def any_size_prior():
    glow = Glow(GlowConfig(channels=3, levels=2, steps=2, hidden=6), seed=3).double()
    return FlowPrior(glow, name="any", dtype=torch.float64)


def grey_problem(operator, sigma=0.05, n=2):
    x = make_images(n, channels=1)
    return fs.InverseProblem(operator, fs.degrade(operator, x, sigma=sigma, seed=0), sigma=sigma, x_true=x)


def test_latents_are_those_of_the_copies_and_images_their_mean(tiny_prior):
    grey, x = tiny_prior.tied(), make_images(2, channels=1)
    colour = x.expand(-1, 3, -1, -1)
    assert grey.image_shape == SHAPE and grey.n == tiny_prior.n
    np.testing.assert_array_equal(grey.encode(x), tiny_prior.encode(colour))
    np.testing.assert_array_equal(grey.log_prob(x), tiny_prior.log_prob(colour))
    np.testing.assert_allclose(grey.decode(grey.encode(x)), x, atol=1e-10)
    z = torch.randn(2, grey.n, dtype=torch.float64)
    np.testing.assert_allclose(grey.decode(z), tiny_prior.decode(z).mean(1, keepdim=True), atol=1e-12)


def test_the_gradient_is_summed_over_the_channels(tiny_prior):
    x = make_images(1, channels=1).requires_grad_()
    colour = x.detach().expand(-1, 3, -1, -1).clone().requires_grad_()
    (grad,) = torch.autograd.grad(tiny_prior.tied().energy(x).sum(), x)
    (each,) = torch.autograd.grad(tiny_prior.energy(colour).sum(), colour)
    np.testing.assert_allclose(grad, each.sum(1, keepdim=True), rtol=1e-10)


def test_what_fits(tiny_prior):
    assert tiny_prior.fitted((3, 8, 8)) is tiny_prior
    assert tiny_prior.fitted(SHAPE).channels == 1 and tiny_prior.fitted(SHAPE).fitted(SHAPE).channels == 1
    assert any_size_prior().fitted((1, 5, 7)).image_shape == (1, 5, 7)
    for shape in ((2, 8, 8), (1, 4, 8), (8, 8), (64,)):
        with pytest.raises(ArgumentError, match=r"as the prior 'tiny' takes"):
            tiny_prior.fitted(shape)
    raw = raw_prior(tiny_prior.tied())
    assert raw.channels == 1


@pytest.mark.parametrize("kind", [fs.Analysis, fs.Synthesis])
def test_the_likelihood_is_that_of_one_channel(tiny_prior, kind):
    problem = grey_problem(ops.Blur.uniform(3, SHAPE))
    objective = kind(problem, tiny_prior)
    u = objective.from_image(problem.x_true)
    residual = problem.operator.apply(problem.x_true) - problem.y
    np.testing.assert_allclose(
        objective.evaluate(u).data_fidelity, 0.5 * residual.square().sum((1, 2, 3)), rtol=1e-6
    )
    value, v = objective.evaluate(u), torch.randn(u.shape, dtype=torch.float64)
    h = 1e-6
    slope = (objective.evaluate(u + h * v).value - objective.evaluate(u - h * v).value) / (2 * h)
    np.testing.assert_allclose((value.grad * v).flatten(1).sum(1), slope, rtol=1e-5)


@pytest.mark.parametrize(
    "operator",
    [
        ops.Identity(SHAPE),
        ops.Blur.uniform(3, SHAPE),
        ops.Mask.random(0.4, dim_shape=SHAPE, seed=1),
        ops.Downsample(2, SHAPE),
    ],
    ids=str,
)
@pytest.mark.parametrize("sigma", [0.05, 0.0])
def test_restore_returns_grey_images(tiny_prior, operator, sigma):
    if sigma == 0 and isinstance(operator, ops.Identity):
        pytest.skip("nothing to restore")
    result = fs.restore(grey_problem(operator, sigma), tiny_prior, max_iter=3)
    assert result.x.shape == (2, *SHAPE) and torch.isfinite(result.x).all()


@pytest.mark.parametrize(
    "solver", ["lbfgs", "adam", "forward_backward", "gauss_newton", "hybrid", "torch:LBFGS"]
)
def test_solvers_take_grey_problems(tiny_prior, solver):
    problem = grey_problem(ops.Mask.random(0.4, dim_shape=SHAPE, seed=1))
    result = fs.solve(fs.Analysis(problem, tiny_prior, lam=0.01), solver, max_iter=3)
    assert result.x.shape == (2, *SHAPE) and (result.value <= result.trace["value"][0]).all()


def test_a_record_of_grey_images_is_continued_and_repeated(tmp_path, tiny_prior):
    problem = grey_problem(ops.Mask.random(0.4, dim_shape=SHAPE, seed=1))
    objective = fs.Synthesis(problem, tiny_prior)
    fs.solve(objective, max_iter=4, record=tmp_path / "run.h5")
    assert fs.open_run(tmp_path / "run.h5").best["x"].shape == (2, *SHAPE)
    assert fs.rerun(tmp_path / "run.h5", prior=tiny_prior).identical


def test_a_prior_of_one_channel_is_as_it_is():
    glow = Glow(GlowConfig(channels=1, image_size=8, levels=2, steps=1, hidden=4), seed=0).double()
    prior = FlowPrior(glow, dtype=torch.float64)
    assert prior.tied().encode(make_images(1, channels=1)).shape == (1, 64)
    problem = grey_problem(ops.Identity(SHAPE))
    assert fs.restore(problem, prior, max_iter=2).x.shape == (2, *SHAPE)


def test_dtype_and_device_leave_it_grey():
    assert make_tiny_prior().tied().to(dtype=torch.float32).channels == 1
