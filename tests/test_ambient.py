"""A run, a prior and an objective give the same whatever modes of torch the caller has on."""

import numpy as np
import pytest
import torch
from helpers import make_problem, make_tiny_prior

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.flows import Linearized
from flowsolve.flows.derivatives import Energy

SHAPE = (3, 8, 8)


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def prior():
    return make_tiny_prior(torch.float32)


@pytest.fixture(params=["autocast", "inference", "both", "default_dtype"])
def mode(request):
    """Put the test into a mode."""
    if request.param == "default_dtype":
        torch.set_default_dtype(torch.float16)
        yield
        torch.set_default_dtype(torch.float32)
    elif request.param == "autocast":
        with autocast():
            yield
    elif request.param == "inference":
        with torch.inference_mode():
            yield
    else:
        with autocast(), torch.inference_mode():
            yield


def outside(function):
    """Return what a function returns where none of the modes is on."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
            return function()
    finally:
        torch.set_default_dtype(before)


def problem32(operator=None):
    return make_problem(operator, n=2).to(dtype=torch.float32)


@pytest.mark.parametrize("solver", ["lbfgs", "gauss_newton", "forward_backward"])
@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_a_default_device_is_not_that_of_the_run(formulation, solver, prior):
    # Any tensor made without a device would have no data.
    problem = problem32()
    expected = fs.solve(formulation(problem, prior), solver, max_iter=2).x
    with torch.device("meta"):
        found = fs.solve(formulation(problem, prior), solver, max_iter=2).x
        back = problem.operator.adjoint(problem.y)
        images = prior.decode(prior.encode(problem.x_true))
        noisy = fs.degrade(problem.operator, problem.x_true, sigma=0.1)
        assert torch.empty(1).device.type == "meta"
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert {t.device.type for t in (back, images, noisy)} == {"cpu"}


@pytest.mark.parametrize("solver", ["lbfgs", "forward_backward", "gauss_newton", "torch:LBFGS"])
@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_solve(mode, formulation, solver, prior):
    def run():
        problem = problem32(ops.RandomProjection(50, SHAPE))
        return fs.solve(formulation(problem, prior), solver, "zeros", max_iter=2)

    found, expected = run(), outside(run)
    assert found.x.dtype == torch.float32
    assert torch.equal(found.x, expected.x)
    np.testing.assert_array_equal(found.trace["value"], expected.trace["value"])


def test_weights_do_not_pass_through_the_default_dtype(mode):
    def weights():
        return list(fs.load_prior("faces64").glow.parameters())

    for found, expected in zip(weights(), outside(weights), strict=True):
        assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_iterate_leaves_the_callers_mode_alone(prior):
    steps = fs.iterate(fs.Analysis(problem32(), prior), "lbfgs", "adjoint", max_iter=2)
    with torch.inference_mode(), autocast():
        for step in steps:
            assert torch.is_inference_mode_enabled() and torch.is_autocast_enabled("cpu")
            assert step.x.dtype == torch.float32


def test_priors_and_their_derivatives(mode, prior):
    def values():
        x = torch.linspace(0, 1, 2 * 192, dtype=torch.float32).reshape(2, *SHAPE)
        z, log_det = prior.encode(x, log_det=True)
        energy = Energy(prior)
        linear = Linearized(prior.encode, x)
        yield from (z, log_det, prior.decode(z), prior.energy(x), prior.log_prob(x), energy.grad(x))
        yield from (*energy.hessian_vector(x, x), linear.jvp(x), linear.vjp(z), prior.sample(2, seed=0))

    expected = outside(lambda: list(values()))
    for found, wanted in zip(values(), expected, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_objectives(mode, prior):
    def value():
        objective = fs.Analysis(problem32(), prior)
        return objective.evaluate(torch.full((2, *SHAPE), 0.5, dtype=torch.float32))

    found, expected = value(), outside(value)
    assert torch.equal(found.value, expected.value) and torch.equal(found.grad, expected.grad)


def test_a_prior_made_in_inference_mode_is_differentiated_outside():
    with torch.inference_mode():
        prior = make_tiny_prior(torch.float32)
        prior.encode(torch.full((1, *SHAPE), 0.5))
    result = fs.solve(fs.Analysis(problem32(), prior), "gauss_newton", "zeros", max_iter=2)
    assert torch.isfinite(result.x).all()


def test_what_was_made_in_inference_mode_is_restored_outside(prior):
    with torch.inference_mode():
        problem, init = problem32(), torch.full((2, *SHAPE), 0.5)
    for start in ("adjoint", init):
        assert torch.isfinite(fs.solve(fs.Analysis(problem, prior), "lbfgs", start, max_iter=2).x).all()


@pytest.mark.parametrize("solver", ["lbfgs", "forward_backward", "adam", "gauss_newton"])
def test_measurements_of_a_graph_are_detached(solver, prior):
    operator = ops.Blur.uniform(3, SHAPE)
    x = torch.full((2, *SHAPE), 0.5, requires_grad=True)
    problem = fs.InverseProblem(operator, operator(x), sigma=0.05, x_true=2 * x)
    assert not problem.y.requires_grad and not problem.x_true.requires_grad
    result = fs.solve(fs.Analysis(problem, prior), solver, 2 * x, max_iter=2)
    assert not result.x.requires_grad
