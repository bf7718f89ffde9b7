"""Autocast, inference mode and ``torch.compile`` around operators change no number."""

import copy
import pickle

import numpy as np
import pytest
import torch

from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError

from .conftest import OPERATORS

SHAPE = (3, 8, 8)


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def maps(op, x, y):
    tau = torch.linspace(0.5, 2, len(x), dtype=x.dtype)
    yield from (op.apply(x), op.adjoint(y), op.gram()(x), op.tikhonov(y, tau), op.prox_l2(x, y, tau))
    leaf = x.clone().requires_grad_()
    yield torch.autograd.grad(op.apply(leaf), leaf, y)[0]


@pytest.mark.parametrize("name", sorted(OPERATORS))
@pytest.mark.filterwarnings("ignore:.*stopped after")
def test_autocast_changes_nothing(name, rng):
    op = OPERATORS[name]
    count = op.n_images or 2
    x, y = (
        torch.from_numpy(rng.standard_normal((count, *shape)).astype("float32"))
        for shape in (op.dim_shape, op.codim_shape)
    )
    expected = list(maps(op, x, y))
    with autocast():
        found = list(maps(op, x, y))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)


def test_backward_inside_autocast_of_a_graph_from_outside(rng):
    op = ops.RandomProjection(20, SHAPE)
    leaf = torch.rand(2, *SHAPE, requires_grad=True)
    value = op(leaf).square().sum()
    with autocast():
        (grad,) = torch.autograd.grad(value, leaf)
    torch.testing.assert_close(grad, 2 * op.adjoint(op(leaf)))


def test_closed_forms_in_inference_mode_can_be_used_outside(rng):
    op = ops.Blur.uniform(3, SHAPE, "reflect")
    with torch.inference_mode():
        x = torch.rand(2, *SHAPE, dtype=torch.float64)
        y = op(x)
        inside = op.prox_l2(x, y, 0.5)
    assert not inside.requires_grad
    torch.testing.assert_close(inside, op.prox_l2(x.clone(), y.clone(), 0.5))


COMPILED = {
    "mask": ops.Mask.random(0.4, dim_shape=SHAPE),
    "blur": ops.Blur.uniform(3, SHAPE),
    "downsample": ops.Downsample(2, SHAPE),
    "random_projection": ops.RandomProjection(5, SHAPE),
    "radon": ops.Radon(3, SHAPE),
    "stack": ops.stack([ops.Gradient(SHAPE), ops.Blur.uniform(3, SHAPE)]),
    "pickled": pickle.loads(pickle.dumps(ops.Blur.uniform(3, SHAPE))),
    "copied": copy.deepcopy(ops.Downsample(2, SHAPE)),
}


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_compiled_as_one_graph_with_its_gradient(name):
    op = COMPILED[name]
    torch._dynamo.reset()
    compiled = torch.compile(lambda v: op(v), backend="aot_eager", fullgraph=True)
    leaf = torch.rand(2, *SHAPE, dtype=torch.float64, requires_grad=True)
    y = compiled(leaf)
    torch.testing.assert_close(y, op(leaf))
    (grad,) = torch.autograd.grad(y.square().sum(), leaf)
    torch.testing.assert_close(grad, 2 * op.adjoint(op(leaf.detach())))


TRANSFORMS = {
    "grad": lambda f: torch.func.grad(lambda v: f(v).square().sum()),
    "grad of grad": lambda f: torch.func.grad(
        lambda v: torch.func.grad(lambda u: f(u).pow(3).sum())(v).square().sum()
    ),
    "vmap": lambda f: torch.func.vmap(f),
    "jvp": lambda f: lambda v: torch.func.jvp(f, (v,), (v.flip(0),))[1],
    "jacrev": lambda f: torch.func.jacrev(lambda v: f(v).sum((-2, -1))),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_compiled_as_one_graph(transform):
    shape = (1, 4, 4)
    x = torch.rand(2, *shape, dtype=torch.float64)
    mapped = TRANSFORMS[transform](ops.Blur.uniform(3, shape))
    for backend in ("eager", "aot_eager"):
        torch._dynamo.reset()
        compiled = torch.compile(mapped, backend=backend, fullgraph=True)
        torch.testing.assert_close(compiled(x), mapped(x))


def test_one_compiled_function_for_two_operators():
    torch._dynamo.reset()
    first, second = ops.Blur.uniform(3, SHAPE), ops.Blur.uniform(5, SHAPE)
    compiled = torch.compile(lambda op, v: op(v), backend="eager")
    x = torch.rand(2, *SHAPE)
    for op in (first, second, first):
        torch.testing.assert_close(compiled(op, x), op(x))


def test_compiled_closed_forms():
    torch._dynamo.reset()
    x = torch.rand(2, *SHAPE, dtype=torch.float64)
    op = ops.Downsample(2, SHAPE, np.ones((3, 3)) / 9, "reflect")
    y = op(x)
    compiled = torch.compile(lambda v: op.tikhonov(v, 0.5), backend="eager")
    torch.testing.assert_close(compiled(y), op.tikhonov(y, 0.5))


class NumPyOnly(ops.LinearOperator):
    """A user's operator that forgets other libraries."""

    def __init__(self, how):
        super().__init__(SHAPE, SHAPE)
        self.how = how

    def _apply(self, x):
        return np.asarray(x) * 2 if self.how == "array" else (2 * x).astype("float32")

    def _adjoint(self, y):
        return self._apply(y)


@pytest.mark.parametrize("how", ["array", "method"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_maps_for_numpy_only_say_what_helps(how, requires_grad):
    x = torch.rand(2, *SHAPE, requires_grad=requires_grad)
    with pytest.raises(UnsupportedError, match=r"NumPyOnly\._apply does not work.*from_functions"):
        NumPyOnly(how)(x)


def test_what_is_not_registered_says_what_helps():
    with pytest.raises(UnsupportedError, match=r"register_operator.*_options"):
        NumPyOnly("array").config()
