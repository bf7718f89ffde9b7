"""Colour mosaics."""

import numpy as np
import pytest

from flowsolve.operators import Mosaic


def test_bayer_layout():
    colours = np.arange(1.0, 4.0).reshape(3, 1, 1) * np.ones((3, 3, 4))
    np.testing.assert_array_equal(Mosaic((3, 3, 4))(colours)[0], [[1, 2, 1, 2], [2, 3, 2, 3], [1, 2, 1, 2]])
    np.testing.assert_array_equal(
        Mosaic((3, 2, 2), "GBRG")(np.eye(3)[:, :2, None] @ np.ones((1, 2)))[0].shape, (2, 2)
    )


def test_any_tile(rng):
    x = rng.random((2, 3, 4, 5))
    op = Mosaic((3, 4, 5), "rrg/bgb")
    tile = np.tile([[0, 0, 1], [2, 1, 2]], (2, 2))[:, :5]
    expected = np.take_along_axis(x, np.broadcast_to(tile, (2, 1, 4, 5)), axis=1)
    np.testing.assert_array_equal(op(x), expected)
    assert op.masks.sum(0).tolist() == np.ones((4, 5)).tolist()


def test_measured_colours_come_back(rng):
    op = Mosaic((3, 6, 6))
    x = rng.random((3, 6, 6))
    back = op.pinv(op(x))
    np.testing.assert_array_equal(back[op.masks == 1], x[op.masks == 1])
    assert (back[op.masks == 0] == 0).all()


@pytest.mark.parametrize("pattern", ["rgb/b", "rgxb", "", 5, "rg/"])
def test_bad_patterns(pattern):
    with pytest.raises(ValueError, match=r"pattern: got .*; accepted: rows of the letters r, g and b"):
        Mosaic((3, 4, 4), pattern)
