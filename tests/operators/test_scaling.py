"""Positive gains."""

import numpy as np
import pytest

from flowsolve.operators import Scaling


def test_one_number_for_all_pixels(rng):
    x = rng.random((2, 3, 4, 5))
    op = Scaling(2.5, (3, 4, 5))
    np.testing.assert_array_equal(op(x), 2.5 * x)
    np.testing.assert_allclose(op.pinv(op(x)), x)


def test_a_gain_per_image_can_be_selected(rng):
    gain, x = rng.random((3, 1, 1, 1)) + 0.5, rng.random((3, 2, 4, 5))
    op = Scaling(gain, (2, 4, 5))
    assert op.n_images == 3
    np.testing.assert_array_equal(op.select([2, 0])(x[[2, 0]]), x[[2, 0]] * gain[[2, 0]])


def test_no_pixel_is_lost():
    op = Scaling(np.full((1, 2, 2), 0.1))
    assert op.support is None
    assert (op(np.ones((1, 2, 2))) > 0).all()


def test_shape_comes_from_the_gain():
    assert Scaling(np.ones((3, 4, 5))).dim_shape == (3, 4, 5)
    with pytest.raises(ValueError, match="dim_shape: got None"):
        Scaling(np.ones((4, 5)))
