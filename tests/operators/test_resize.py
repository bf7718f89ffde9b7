"""Resizing against torch and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from flowsolve.operators import Resize
from flowsolve.operators.axismap import _Banded, _Dense
from flowsolve.operators.resize import resize_matrix

SIZES = [((12, 14), (6, 7)), ((13, 9), (4, 5)), ((8, 8), (3, 12)), ((5, 6), (10, 17))]


@pytest.mark.parametrize(("before", "after"), SIZES, ids=str)
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_agrees_with_torch(before, after, method, rng):
    x = torch.from_numpy(rng.random((2, 3, *before)))
    expected = torch.nn.functional.interpolate(
        x, size=after, mode=method, antialias=True, align_corners=False
    )
    torch.testing.assert_close(
        Resize(None, (3, *before), method, size=after)(x), expected, atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize(("before", "after"), SIZES, ids=str)
def test_lanczos_agrees_with_pillow(before, after, rng):
    x = rng.random(before).astype("float32")
    expected = np.asarray(Image.fromarray(x).resize(after[::-1], Image.Resampling.LANCZOS))
    found = Resize(None, (1, *before), "lanczos", size=after)(x[None])[0]
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos"])
def test_flat_images_stay_flat(method):
    op = Resize((3.0, 0.7), (1, 10, 11), method)
    assert op.codim_shape == (1, 4, 16)
    np.testing.assert_allclose(op(np.full((1, 10, 11), 0.3)), 0.3, atol=1e-14)


def test_nothing_aliases():
    # The finest checkerboard vanishes; every second pixel of it would be constant.
    board = np.indices((32, 32)).sum(0) % 2 - 0.5
    inner = Resize(2, (1, 32, 32))(board[None])[0, 4:-4, 4:-4]
    assert np.abs(inner).max() < 0.02


def test_measured_exactly_then_pinv_reproduces_it(rng):
    op = Resize(2, (3, 16, 16), "lanczos")
    y = rng.random((3, 8, 8))
    np.testing.assert_allclose(op(op.pinv(y)), y, atol=1e-10)


def test_large_and_small_sides_take_the_two_ways_to_multiply(rng):
    matrix = resize_matrix(1200, 300, "bicubic")
    x = rng.random((2, 1200, 3))
    banded, dense = _Banded(matrix, int(np.max(np.count_nonzero(matrix, axis=1)))), _Dense(matrix)
    np.testing.assert_allclose(banded(x, -2), dense(x, -2), atol=1e-13)
    np.testing.assert_allclose(banded(np.swapaxes(x, 1, 2), -1), dense(np.swapaxes(x, 1, 2), -1), atol=1e-13)
    assert isinstance(Resize(4, (1, 1200, 8))._rows._forward, _Banded)
    assert isinstance(Resize(4, (1, 64, 64))._rows._forward, _Dense)


@pytest.mark.parametrize("torch_too", [False, True])
def test_banded_operators_have_the_adjoint(torch_too, rng):
    op = Resize(4, (1, 1100, 3), "bicubic")
    x, y = rng.standard_normal((2, *op.dim_shape)), rng.standard_normal((2, *op.codim_shape))
    if torch_too:
        x, y = torch.from_numpy(x), torch.from_numpy(y)
    assert float((op(x) * y).sum()) == pytest.approx(float((x * op.adjoint(y)).sum()), rel=1e-11)
