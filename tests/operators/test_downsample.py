"""Lower resolution against torch and against the two steps it is made of."""

import numpy as np
import pytest
import torch

from flowsolve.operators import Blur, Downsample


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 9, 11), (1, 7, 5), (2, 5, 12)], ids=str)
@pytest.mark.parametrize("factor", [1, 2, 4, (2, 3), (5, 5)], ids=str)
def test_block_mean_agrees_with_torch(shape, factor, rng):
    x = torch.from_numpy(rng.standard_normal((2, *shape)))
    expected = torch.nn.functional.avg_pool2d(x, factor, ceil_mode=True)
    found = Downsample(factor, shape)(x)
    torch.testing.assert_close(found, expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("boundary", ["circular", "zero", "reflect", "replicate"])
@pytest.mark.parametrize("offset", [0, 1, (0, 2)], ids=str)
def test_kernel_is_blur_then_every_nth(boundary, offset, rng):
    kernel, x = rng.standard_normal((3, 4)), rng.standard_normal((2, 3, 10, 11))
    top, left = (offset, offset) if isinstance(offset, int) else offset
    op = Downsample(3, (3, 10, 11), kernel, boundary, offset)
    expected = Blur(kernel, (3, 10, 11), boundary)(x)[..., top::3, left::3]
    assert op.codim_shape == expected.shape[1:]
    np.testing.assert_allclose(op(x), expected, atol=1e-13)


def test_norm_of_block_mean():
    assert Downsample(4, (3, 64, 64)).lipschitz == pytest.approx(0.25)
    uneven = Downsample(4, (3, 9, 6))
    assert uneven.lipschitz == pytest.approx(1 / np.sqrt(2)) and uneven.lipschitz_kind == "exact"


def test_closed_form_only_where_it_is_true():
    kernel = {"gaussian": {"std": 1.0}}
    assert Downsample(2, (1, 8, 8), kernel).has_closed_form
    assert not Downsample(2, (1, 9, 8), kernel).has_closed_form
    assert Downsample(2, (1, 9, 8), kernel, "reflect").has_closed_form
    motion = {"motion": {"length": 3.0, "angle": 30.0}}
    assert Downsample(2, (1, 8, 8), motion).has_closed_form
    assert not Downsample(2, (1, 8, 8), motion, "reflect").has_closed_form
    assert Downsample(2, (1, 9, 9)).has_closed_form


def test_pinv_of_block_mean_repeats_pixels(rng):
    y = rng.standard_normal((3, 4, 4))
    np.testing.assert_allclose(Downsample(2, (3, 8, 8)).pinv(y), y.repeat(2, 1).repeat(2, 2))
