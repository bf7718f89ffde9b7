"""Derivatives on torch: all orders and modes, and every torch.func transform."""

import pytest
import torch

from flowsolve.operators import Blur, Downsample, Mask, stack

from .conftest import OPERATORS

SHAPE = (1, 4, 5)
SAMPLES = {
    "mask": Mask.random(0.5, dim_shape=SHAPE),
    "blur": Blur.motion(3, 20, SHAPE, "reflect"),
    "downsample": Downsample(2, SHAPE),
    "stack": stack([Downsample(3, SHAPE), Blur.uniform(2, SHAPE, "zero")]),
}


@pytest.fixture(params=SAMPLES)
def op(request):
    return SAMPLES[request.param]


@pytest.fixture
def x():
    return torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_gradcheck(op, x):
    x.requires_grad_()
    assert torch.autograd.gradcheck(op.apply, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda v: op(v) ** 2, (x,))
    y = op(x).detach().requires_grad_()
    assert torch.autograd.gradcheck(op.adjoint, (y,), check_forward_ad=True)


def test_jacobians_are_the_matrix(op, x):
    dense = torch.from_numpy(op.to_dense().copy())
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        found = jacobian(op.apply)(x[0]).reshape(dense.shape)
        torch.testing.assert_close(found, dense, atol=1e-14, rtol=0)
    hessian = torch.func.hessian(lambda v: 0.5 * op(v).square().sum())(x[0]).reshape(20, 20)
    torch.testing.assert_close(hessian, dense.T @ dense, atol=1e-13, rtol=0)


def test_per_image_gradients_by_vmap(op, x):
    found = torch.func.vmap(torch.func.grad(lambda v: 0.5 * op(v).square().sum()))(x)
    torch.testing.assert_close(found, op.adjoint(op(x)))
    moved = torch.func.vmap(op.apply, in_dims=-1, out_dims=1)(x.movedim(0, -1))
    torch.testing.assert_close(moved.movedim(1, 0), op(x))


def test_nested_vmap_and_jvp_of_grad(op, x):
    xs = torch.stack([x, 2 * x])
    torch.testing.assert_close(torch.func.vmap(torch.func.vmap(op.apply))(xs), op(xs))
    gradient = torch.func.grad(lambda v: 0.5 * op(v).square().sum())
    found = torch.func.jvp(gradient, (x,), (x.flip(0),))[1]
    torch.testing.assert_close(found, op.adjoint(op(x.flip(0))))


@pytest.mark.parametrize("name", ["blur-circular", "blur-reflect", "mask-per-image", "composition", "stack"])
def test_gradients_through_prox_pinv_and_tikhonov(name):
    op = OPERATORS[name]
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(3, *op.dim_shape, dtype=torch.float64, generator=generator, requires_grad=True)
    y = torch.randn(3, *op.codim_shape, dtype=torch.float64, generator=generator, requires_grad=True)

    def directional(function, argument):
        direction = torch.randn(argument.shape, dtype=torch.float64, generator=generator)
        weights = torch.randn(function(argument).shape, dtype=torch.float64, generator=generator)
        (gradient,) = torch.autograd.grad((weights * function(argument)).sum(), argument)
        with torch.no_grad():
            # These maps are affine, so a difference quotient is exact at any step.
            change = (weights * (function(argument + direction) - function(argument))).sum()
        torch.testing.assert_close((gradient * direction).sum(), change, atol=1e-5, rtol=1e-5)

    directional(lambda a: op.prox_l2(a, y, 0.7), v)
    directional(lambda a: op.prox_l2(v, a, 0.7), y)
    directional(lambda a: op.tikhonov(a, 0.3), y)
    if op.has_closed_form:
        directional(op.pinv, y)
        directional(op.project_nullspace, v)


def test_gradient_with_respect_to_the_step():
    op = OPERATORS["blur-circular"]
    v = torch.randn(2, *op.dim_shape, dtype=torch.float64)
    tau = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: op.prox_l2(v, v, t), (tau,))


def test_transforms_of_prox_leave_the_caches_sound(x):
    for boundary in ("circular", "zero"):
        op = Blur.uniform(3, SHAPE, boundary)

        def objective(v, op=op):
            return op.prox_l2(v, x[0], 2.0).square().sum()

        first = torch.func.vmap(torch.func.grad(objective))(x)
        leaf = x.clone().requires_grad_()
        (second,) = torch.autograd.grad(sum(objective(v) for v in leaf), leaf)
        torch.testing.assert_close(first, second, atol=1e-8, rtol=1e-6)


def test_inference_mode_leaves_the_caches_sound(x):
    op = Blur.uniform(3, SHAPE)
    with torch.inference_mode():
        op.prox_l2(x, x, 1.0)
    leaf = x.clone().requires_grad_()
    assert torch.isfinite(torch.autograd.grad(op.prox_l2(leaf, x, 1.0).sum(), leaf)[0]).all()


def test_no_graph_without_need(x):
    assert not OPERATORS["identity"](torch.zeros(2, 7, 6)).requires_grad
    assert SAMPLES["blur"](x.clone().requires_grad_()).requires_grad
