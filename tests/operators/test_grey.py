"""Colour to grey."""

import numpy as np
from skimage.color import rgb2ycbcr

from flowsolve.operators import Grey


def test_luma_agrees_with_skimage(rng):
    x = rng.random((3, 4, 5))
    # skimage's Y runs from 16 to 235.
    expected = (rgb2ycbcr(np.moveaxis(x, 0, -1))[..., 0] - 16) / 219
    np.testing.assert_allclose(Grey((3, 4, 5))(x)[0], expected, atol=1e-4)


def test_other_numbers_of_channels_are_averaged(rng):
    x = rng.random((2, 4, 3, 3))
    np.testing.assert_allclose(Grey((4, 3, 3))(x), x.mean(1, keepdims=True))


def test_pinv_is_the_grey_image_of_least_norm(rng):
    y, weights = rng.random((1, 3, 3)), np.array([1.0, -2.0])
    np.testing.assert_allclose(Grey((2, 3, 3), weights).pinv(y), weights[:, None, None] * y / 5)
    assert Grey((2, 3, 3), weights).lipschitz == np.sqrt(5)
