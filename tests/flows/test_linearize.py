"""Products with Jacobians at one point, against dense Jacobians."""

import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.flows import FlowPrior, FrozenGlow, Linearized


@pytest.fixture
def prior(glow):
    return FlowPrior(glow, dtype=torch.float64)


def maps(prior, images):
    """Return (name, map, point) for E, D and both with their log-determinants."""
    z = prior.encode(images)
    return [
        ("E", prior.encode, images),
        ("D", prior.decode, z),
        ("E with log-det", lambda x: prior.encode(x, log_det=True), images),
        ("D with log-det", lambda z: prior.decode(z, log_det=True), z),
    ]


def dense(function, point, i):
    """Return the Jacobians of the outputs for image i alone, each as a matrix."""
    jacobians = torch.func.jacrev(function)(point[i])
    jacobians = (jacobians,) if isinstance(jacobians, torch.Tensor) else jacobians
    return [j.reshape(-1, point[i].numel()) for j in jacobians]


def rand(like, seed):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


def test_products_equal_those_of_dense_jacobians_image_by_image(prior, images):
    for name, function, point in maps(prior, images):
        linear = Linearized(function, point)
        single = isinstance(linear.value, torch.Tensor)
        values = (linear.value,) if single else linear.value
        v, ws = rand(point, 1), tuple(rand(value, 2 + i) for i, value in enumerate(values))
        for _ in range(2):  # the records serve more than one product
            pushed = linear.jvp(v)
            pushed = (pushed,) if single else pushed
            pulled = linear.vjp(ws[0] if single else ws)
            for i in range(len(point)):
                jacobians = dense(function, point, i)
                for jacobian, product in zip(jacobians, pushed, strict=True):
                    expected = (jacobian @ v[i].flatten()).reshape(product[i].shape)
                    torch.testing.assert_close(product[i], expected, msg=name)
                expected = sum(j.T @ w[i].flatten() for j, w in zip(jacobians, ws, strict=True))
                torch.testing.assert_close(pulled[i].flatten(), expected, msg=name)


def test_value_is_the_maps_and_nothing_is_kept_for_autograd(prior, images):
    linear = Linearized(prior.encode, images.requires_grad_())
    torch.testing.assert_close(linear.value, prior.encode(images).detach())
    assert not linear.value.requires_grad and not linear.jvp(images.detach()).requires_grad
    assert not linear.vjp(linear.value).requires_grad and images.grad is None


def test_a_missing_cotangent_is_zero_and_works_without_grad_mode(prior, images):
    with torch.no_grad():
        linear = Linearized(lambda x: prior.encode(x, log_det=True), images)
        w = rand(linear.value[0], 4)
        torch.testing.assert_close(linear.vjp((w, None)), Linearized(prior.encode, images).vjp(w))
        assert not linear.vjp((None, None)).any()


def test_a_hessian_is_the_symmetric_jacobian_of_a_gradient(prior, images):
    def grad(x):
        return torch.func.grad(lambda x: prior.energy(x).sum())(x)

    linear, v = Linearized(grad, images), rand(images, 1)
    torch.testing.assert_close(linear.vjp(v), linear.jvp(v))
    torch.testing.assert_close(linear.vjp(v), torch.func.jvp(grad, (images,), (v,))[1])


def test_compositions_with_operators(prior, images):
    from flowsolve import operators as ops

    blur = ops.Blur.gaussian(0.8, dim_shape=(2, 8, 8), boundary="zero")
    z = prior.encode(images)
    linear, v = Linearized(lambda z: blur.apply(prior.decode(z)), z), rand(z, 1)
    torch.testing.assert_close(linear.jvp(v), blur.apply(Linearized(prior.decode, z).jvp(v)))
    w = rand(images, 2)
    torch.testing.assert_close(linear.vjp(w), Linearized(prior.decode, z).vjp(blur.adjoint(w)))


@pytest.mark.parametrize("memory", ["checkpoint", "invertible"])
def test_products_do_not_depend_on_what_gradients_keep(glow, images, memory):
    def products(memory):
        flow = FrozenGlow(glow, dtype=torch.float64, memory=memory)
        linear = Linearized(lambda x: tuple(flow.encode(x)[0]), images)
        return [*linear.jvp(images), linear.vjp(linear.value)]

    for found, expected in zip(products(memory), products("store"), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_product_takes_as_many_convolutions_as_the_map(prior, images):
    linear = Linearized(prior.encode, images)

    def convolutions(call):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            call()
        names = ("aten::convolution", "aten::convolution_backward")
        return sum(event.count for event in profile.key_averages() if event.key in names)

    linear.jvp(images)
    once = convolutions(lambda: Linearized(prior.encode, images))
    assert once > 0
    assert convolutions(lambda: linear.jvp(images)) == convolutions(lambda: linear.vjp(linear.value)) == once


def test_constant_and_foreign_maps():
    x = torch.ones(2, 3)
    constant = Linearized(lambda x: (2 * x, torch.zeros(2)), x)
    assert constant.jvp(x)[1].tolist() == [0, 0] and constant.jvp(x)[0].tolist() == (2 * x).tolist()
    assert not Linearized(lambda x: torch.zeros(2), x).jvp(x).any()
    # Convolutions whose weights are variables, or with strides, are left to autograd.
    layer = torch.nn.Conv2d(1, 2, 3, stride=2).double()
    h = torch.rand(2, 1, 7, 7, dtype=torch.float64)
    linear = Linearized(layer, h)
    with torch.no_grad():
        torch.testing.assert_close(linear.jvp(h), layer(h) - layer(torch.zeros_like(h)))
    assert layer.weight.grad is None


def test_float32_is_kept(make_glow):
    prior = FlowPrior(make_glow(), dtype=torch.float32)
    linear = Linearized(prior.decode, torch.zeros(2, prior.n))
    assert linear.value.dtype == linear.jvp(torch.ones(2, prior.n)).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Linearized(torch.sin, 3), "point: got int"),
        (lambda: Linearized(torch.sin, torch.ones(2, dtype=torch.int64)), "point: got torch.int64"),
        (lambda: Linearized(torch.sin, torch.ones(2)).jvp(torch.ones(3)), r"tangent: got shape \(3,\)"),
        (lambda: Linearized(torch.sin, torch.ones(2)).jvp(None), "tangent: got NoneType"),
        (
            lambda: Linearized(torch.sin, torch.ones(2)).vjp(torch.ones(2, dtype=torch.float64)),
            r"cotangent: got shape \(2,\), torch.float64",
        ),
        (lambda: Linearized(torch.sin, torch.ones(2)).vjp((None, None)), "cotangent: got 2 tensors"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
