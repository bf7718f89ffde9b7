"""Direct filters on torch against the transform, in one thread or several."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from flowsolve.operators import Blur, threads
from flowsolve.operators.boundaries import BOUNDARIES
from flowsolve.operators.direct_filter import DirectFilter

RNG = np.random.default_rng(0)
KERNELS = {
    "box-odd": np.full((7, 3), 1 / 21),
    "box-even": np.full((4, 6), -2.0),
    "box-and-profile": np.outer(np.ones(5), [0.2, 0.5, -0.1]),
    "profile": np.outer(RNG.standard_normal(4), RNG.standard_normal(5)),
    "gap": np.outer([1.0, 0, 0, 2.0], [0, 1.0, 1.0]),
    "full": RNG.standard_normal((3, 4)),
    "sparse": np.eye(5) + 0.5 * np.eye(5)[::-1],
    "column": RNG.standard_normal((5, 1)),
    "row": RNG.standard_normal((1, 6)),
    "one": np.array([[3.0]]),
    "per-channel": RNG.standard_normal((3, 3, 2)),
    "mixed-per-channel": np.stack([np.ones((3, 3)), RNG.standard_normal((3, 3)), np.eye(3)]),
}
SHAPE = (3, 11, 13)


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def shared(request, monkeypatch):
    """Work left to one thread, or shared by three."""
    monkeypatch.setattr(threads, "ALONE", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: request.param)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", KERNELS)
def test_agrees_with_the_transform(name, boundary, shared):
    op = Blur(KERNELS[name], SHAPE, boundary)
    x = np.random.default_rng(1).standard_normal((2, 2, *SHAPE))
    tensor = torch.from_numpy(x)
    assert op._convolution._direct.forward(tensor) is not None
    np.testing.assert_allclose(op(tensor), op(x), atol=1e-12)
    np.testing.assert_allclose(op.adjoint(tensor), op.adjoint(x), atol=1e-12)
    np.testing.assert_allclose(op.gram()(tensor), op.gram()(x), atol=1e-11)


def test_layouts_without_order_are_taken(shared):
    op = Blur(KERNELS["full"], SHAPE, "reflect")
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    expected = op(x)
    torch.testing.assert_close(op(x.to(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(op(x[:1].expand(4, *SHAPE))[3], expected[0])
    torch.testing.assert_close(op(x.transpose(-1, -2).contiguous().transpose(-1, -2)), expected)


@pytest.mark.parametrize("count", range(1, 20))
def test_windows_of_any_length(count):
    op = Blur(np.full((1, count), 1 / count), (1, 4, 20))
    x = torch.randn(1, 4, 20, dtype=torch.float64)
    np.testing.assert_allclose(op(x), op(x.numpy()), atol=1e-13)


def test_passes():
    def passes(kernel):
        return DirectFilter(kernel[None], (0, 0), (0, 0), "zero").passes

    assert passes(np.ones((7, 7))) == 7 + 7
    assert passes(KERNELS["profile"]) == 4 + 5
    assert passes(KERNELS["sparse"]) == 9
    assert passes(KERNELS["one"]) == 1


def test_results_do_not_share_memory():
    op = Blur.uniform(3, SHAPE)
    first = op(torch.ones(SHAPE))
    kept = first.clone()
    op(torch.zeros(SHAPE))
    torch.testing.assert_close(first, kept)


def test_threads_do_not_share_memory():
    op = Blur.uniform(5, (3, 64, 64))
    images = [torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    expected = [op(x) for x in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(op, images), expected, strict=True):
                assert torch.equal(found, wanted)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_copies_of_a_filter_are_independent(boundary):
    op = Blur(KERNELS["full"], SHAPE, boundary)
    x = torch.randn(SHAPE, dtype=torch.float64)
    expected = op(x)
    again = pickle.loads(pickle.dumps(op))
    torch.testing.assert_close(again(x), expected)


def test_gradients_are_the_adjoint():
    op = Blur.uniform(3, SHAPE)
    x = torch.randn(SHAPE, requires_grad=True)
    op(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(SHAPE))


@pytest.mark.parametrize("name", ["full", "profile"])
def test_rows_beyond_the_image_are_zeros_where_nothing_of_it_is_left(name):
    # The kernel is as large as the image: some sums have no row at all of it.
    kernel = np.zeros((11, 3)) if name == "full" else np.outer(np.eye(11)[0], [1.0, 2.0, 0.5])
    kernel[0, 0] += 1.0
    op, x = Blur(kernel, SHAPE, "zero"), np.random.default_rng(2).standard_normal(SHAPE)
    np.testing.assert_allclose(op(torch.from_numpy(x)), op(x), atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_numbers_take_the_other_way(dtype):
    assert Blur.uniform(3, SHAPE)._convolution._direct.forward(torch.ones(SHAPE, dtype=dtype)) is None
