"""Direct filters on torch against the transform, whatever the tiles."""

import pickle

import numpy as np
import pytest
import torch

from flowsolve.operators import Blur, torch_direct
from flowsolve.operators.boundaries import BOUNDARIES
from flowsolve.operators.torch_direct import DirectFilter, Scratch

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


@pytest.fixture(params=[1 << 18, 11 * 13 + 1, 20], ids=["whole", "planes", "rows"])
def tile(request, monkeypatch):
    """Tiles of the whole batch, of a plane, or of a row."""
    monkeypatch.setattr(torch_direct, "TILE", request.param)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", KERNELS)
def test_agrees_with_the_transform(name, boundary, tile):
    op = Blur(KERNELS[name], SHAPE, boundary)
    x = np.random.default_rng(1).standard_normal((2, 2, *SHAPE))
    tensor = torch.from_numpy(x)
    assert op._convolution._direct.forward(tensor) is not None
    np.testing.assert_allclose(op(tensor), op(x), atol=1e-12)
    np.testing.assert_allclose(op.adjoint(tensor), op.adjoint(x), atol=1e-12)
    np.testing.assert_allclose(op.gram()(tensor), op.gram()(x), atol=1e-11)


def test_layouts_without_order_are_taken(tile):
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

    assert passes(np.ones((7, 7))) == 2 * (3 + 3)
    assert passes(KERNELS["profile"]) == 4 + 5
    assert passes(KERNELS["sparse"]) == 9
    assert passes(KERNELS["one"]) == 1


def test_results_do_not_share_memory():
    op = Blur.uniform(3, SHAPE)
    first = op(torch.ones(SHAPE))
    kept = first.clone()
    op(torch.zeros(SHAPE))
    torch.testing.assert_close(first, kept)


def test_scratch_memory_is_kept_and_overflows_into_its_own():
    scratch = Scratch(torch.float32)
    one, two = scratch.take((3, 4)), scratch.take((5,))
    assert one.data_ptr() + 4 * 12 == two.data_ptr()
    assert Scratch(torch.float32).take((1,)).data_ptr() == one.data_ptr()
    assert scratch.take((Scratch.SIZE,)).data_ptr() != one.data_ptr()


def test_filters_are_pickled_without_their_indices(monkeypatch):
    monkeypatch.setattr(torch_direct, "TILE", 20)
    op = Blur.uniform(3, SHAPE, "zero")
    x = torch.randn(SHAPE)
    expected = op(x)
    again = pickle.loads(pickle.dumps(op))
    assert again._convolution._direct._made["forward"]._row_index == {}
    torch.testing.assert_close(again(x), expected)
