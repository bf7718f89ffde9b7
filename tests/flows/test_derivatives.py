"""Derivatives of maps and energies: finite differences, dense Jacobians and Hessians, batches, vmap."""

import pytest
import torch
from helpers import in_threads

from flowsolve.errors import ArgumentError
from flowsolve.flows import Energy, FlowPrior, jvp, vjp

CASES = [(phi, over) for phi in ("latent", "nll", "typical") for over in ("images", "latents")]


@pytest.fixture
def prior(glow):
    return FlowPrior(glow, dtype=torch.float64)


@pytest.fixture(params=CASES, ids="-".join)
def energy_of(request):
    return lambda prior: Energy(prior, *request.param)


def start(energy, images):
    return images if energy.over == "images" else energy.prior.encode(images)


def rand(like, seed=1):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


def dots(a, b, batch):
    return (a * b).flatten(batch).sum(-1)


def square(jacobian, n):
    return jacobian.reshape(n, n)


def test_jacobians_of_encoder_and_decoder_are_inverse_and_have_the_reported_determinant(prior, images):
    x, n = images[0], prior.n
    z, log_det = prior.encode(x, log_det=True)
    encoder = square(torch.func.jacrev(prior.encode)(x), n)
    decoder = square(torch.func.jacrev(prior.decode)(z), n)
    torch.testing.assert_close(encoder @ decoder, torch.eye(n, dtype=x.dtype), rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.linalg.slogdet(encoder).logabsdet, log_det)
    torch.testing.assert_close(square(torch.func.jacfwd(prior.encode)(x), n), encoder)


def test_products_in_threads_are_those_alone(prior, images):
    v = rand(images)
    value, pushed = jvp(prior.encode, images, v)
    _, second = Energy(prior, "nll").hessian_vector(images, v)

    def work():
        for _ in range(5):
            assert all(map(torch.equal, jvp(prior.encode, images, v), (value, pushed)))
        return Energy(prior, "nll").hessian_vector(images, v)[1]

    assert all(torch.equal(found, second) for found in in_threads(work))


def test_products_agree_with_finite_differences_and_each_other(prior, images):
    for function, point in ((prior.encode, images), (prior.decode, prior.encode(images))):
        v, h = rand(point), 1e-6
        value, pushed = jvp(function, point, v)
        difference = (function(point + h * v) - function(point - h * v)) / (2 * h)
        torch.testing.assert_close(pushed, difference, rtol=1e-6, atol=1e-7)
        w = rand(value, 2)
        same, pulled = vjp(function, point, w)
        torch.testing.assert_close(value, function(point))
        torch.testing.assert_close(same, value)
        torch.testing.assert_close(dots(pushed, w, 1), dots(v, pulled, 1))


def test_maps_with_several_outputs(prior, images):
    def function(x):
        return prior.encode(x, log_det=True)

    (z, log_det), (pushed, change) = jvp(function, images, rand(images))
    torch.testing.assert_close(pushed, jvp(prior.encode, images, rand(images))[1])
    w = (rand(z), rand(log_det))
    _, pulled = vjp(function, images, w)
    expected = dots(pushed, w[0], 1) + change * w[1]
    torch.testing.assert_close(dots(pulled, rand(images), 1), expected)


def test_energies_and_gradients(prior, images, energy_of):
    energy = energy_of(prior)
    point, h = start(energy, images), 1e-6
    value, grad = energy.value_and_grad(point)
    torch.testing.assert_close(value, prior.energy(images, energy.phi))
    torch.testing.assert_close(value, energy.value(point))
    torch.testing.assert_close(grad, energy.grad(point))
    v = rand(point)
    difference = (energy.value(point + h * v) - energy.value(point - h * v)) / (2 * h)
    torch.testing.assert_close(dots(grad, v, 1), difference, rtol=1e-6, atol=1e-6)


def test_hessian_products_equal_the_dense_hessian(prior, images, energy_of):
    energy = energy_of(prior)
    point = start(energy, images[:2])
    v = rand(point)
    grad, product = energy.hessian_vector(point, v)
    torch.testing.assert_close(grad, energy.grad(point))
    for i in range(2):
        hessian = square(torch.func.hessian(energy.value)(point[i]), prior.n)
        torch.testing.assert_close(product[i].flatten(), hessian @ v[i].flatten())
    h = 1e-6
    difference = (energy.grad(point + h * v) - energy.grad(point - h * v)) / (2 * h)
    torch.testing.assert_close(product, difference, rtol=1e-5, atol=1e-5)


def test_gauss_newton_products_equal_the_dense_matrix(prior, images, energy_of):
    energy = energy_of(prior)
    point, n = start(energy, images[:2]), prior.n
    v = rand(point)
    product = energy.gauss_newton_vector(point, v)
    for i in range(2):
        jacobian = torch.eye(n, dtype=v.dtype)
        if energy.over == "images":
            jacobian = square(torch.func.jacrev(prior.encode)(point[i]), n)
        z, curvature = prior.encode(images[i]), 2 * torch.eye(n, dtype=v.dtype)
        if energy.phi == "typical":
            curvature = torch.zeros(n, n, dtype=v.dtype)
            offset = 0
            for size in prior.latent_sizes:
                part = slice(offset, offset + size)
                curvature[part, part] = 4 * torch.outer(z[part], z[part]) / size
                offset += size
        expected = jacobian.T @ curvature @ jacobian @ v[i].flatten()
        torch.testing.assert_close(product[i].flatten(), expected)
        assert expected @ v[i].flatten() > 0


def test_over_latents_without_a_volume_term_gauss_newton_is_the_hessian(prior, images):
    energy = Energy(prior, "latent", "latents")
    z = prior.encode(images)
    torch.testing.assert_close(energy.hessian_vector(z, rand(z))[1], energy.gauss_newton_vector(z, rand(z)))


def results(energy, point, v):
    grad, product = energy.hessian_vector(point, v)
    return energy.value(point), grad, product, energy.gauss_newton_vector(point, v)


def test_any_leading_dimensions_give_what_images_alone_give(prior, images, energy_of):
    energy = energy_of(prior)
    point = start(energy, images)
    v = rand(point)
    together = results(energy, point, v)
    alone = [results(energy, point[i], v[i]) for i in range(3)]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.stack(parts))
    nested = results(energy, point[None, :, None], v[None, :, None])
    for whole, deep in zip(together, nested, strict=True):
        assert deep.shape[:3] == (1, 3, 1)
        torch.testing.assert_close(whole, deep[0, :, 0])


def test_under_vmap_and_other_transforms(prior, images, energy_of):
    energy = energy_of(prior)
    point = start(energy, images)
    v = rand(point)
    mapped = torch.func.vmap(lambda p, v: results(energy, p, v))(point, v)
    for one, other in zip(mapped, results(energy, point, v), strict=True):
        torch.testing.assert_close(one, other)
    function = prior.encode if energy.over == "images" else prior.decode
    pushed = torch.func.vmap(lambda p, v: jvp(function, p, v))(point, v)
    pulled = torch.func.vmap(lambda p, w: vjp(function, p, w))(point, rand(pushed[0]))
    torch.testing.assert_close(pushed, jvp(function, point, v))
    torch.testing.assert_close(pulled, vjp(function, point, rand(pushed[0])))
    # A derivative of a product: d/dt of the gradient along a line is the Hessian product.
    slope = torch.func.jvp(
        lambda t: energy.grad(point + t * v), (torch.zeros(()).double(),), (torch.ones(()).double(),)
    )
    torch.testing.assert_close(slope[1], energy.hessian_vector(point, v)[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("coupling", ["additive", "affine"])
def test_a_prior_of_any_size_in_both_dtypes(make_glow, dtype, coupling, energy_of):
    prior = FlowPrior(make_glow(coupling, size=None), dtype=dtype)
    if energy_of(prior).over == "latents":
        prior = prior.at_size(4, 12)
    energy = energy_of(prior)
    x = torch.rand(2, 2, 4, 12, generator=torch.Generator().manual_seed(0), dtype=dtype)
    point = start(energy, x)
    for result in results(energy, point, rand(point)):
        assert result.dtype == dtype and result.shape[0] == 2 and torch.isfinite(result).all()
    double = energy_of(prior.to(dtype=torch.float64))
    exact = results(double, point.double(), rand(point).double())
    for found, expected in zip(results(energy, point, rand(point)), exact, strict=True):
        assert (found - expected).norm() < 1e-4 * expected.norm()


def test_refusals(make_glow):
    prior = FlowPrior(make_glow(), dtype=torch.float64)
    x = torch.rand(2, 2, 8, 8, dtype=torch.float64)
    with pytest.raises(ArgumentError, match="over: got 'image'; accepted: 'images' or 'latents'"):
        Energy(prior, over="image")
    with pytest.raises(ArgumentError, match="phi: got"):
        Energy(prior, phi="l2")
    with pytest.raises(ArgumentError, match="tangent: got shape"):
        jvp(prior.encode, x, x[0])
    with pytest.raises(ArgumentError, match="cotangent: got shape"):
        vjp(prior.encode, x, x)
    with pytest.raises(ArgumentError, match="cotangent: got 1 tensors; accepted: 2"):
        vjp(lambda x: prior.encode(x, log_det=True), x, x)
    for method in (Energy(prior).hessian_vector, Energy(prior).gauss_newton_vector):
        with pytest.raises(ArgumentError, match="v: got shape"):
            method(x, x[0])
    for phi in ("latent", "nll", "typical"):
        with pytest.raises(ArgumentError, match="z: got shape"):
            Energy(prior, phi, "latents").value(x)
