"""Operators on a tile measure what they measure there of the whole image."""

import numpy as np
import pytest
import torch

from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError
from flowsolve.tiles.grid import Tile
from flowsolve.tiles.local import local_part, reach

SHAPE = (3, 48, 40)
TILE = Tile((8, 40), (12, 36))
KERNEL = np.random.default_rng(0).random((5, 3))
LOCAL = [
    ops.Identity(SHAPE),
    ops.Mask.random(0.4, dim_shape=SHAPE, seed=1),
    ops.Mask(np.random.default_rng(1).random((1, 3, 48, 40)), SHAPE),
    ops.Blur(KERNEL, SHAPE),
    ops.Blur(KERNEL, SHAPE, boundary="reflect"),
    ops.Downsample(4, SHAPE),
    ops.Downsample(2, SHAPE, kernel=KERNEL, offset=1),
]


@pytest.mark.parametrize("operator", LOCAL, ids=str)
def test_away_from_its_edges_a_tile_is_measured_as_in_the_whole(operator):
    x = torch.rand(1, *SHAPE, dtype=torch.float64)
    part = local_part(operator, TILE)
    whole = operator.apply(x)[(..., *part.measured)]
    here = part.operator.apply(x[(..., *TILE.index)].contiguous())
    assert here.shape == whole.shape
    edge = reach(operator)
    inside = (..., slice(edge, here.shape[-2] - edge), slice(edge, here.shape[-1] - edge))
    np.testing.assert_allclose(here[inside], whole[inside], atol=1e-12)
    if edge == 0:
        np.testing.assert_allclose(here, whole, atol=1e-12)


@pytest.mark.parametrize(
    "operator",
    [ops.RandomProjection(10, SHAPE, seed=0), ops.Radon(4, (3, 48, 48)), ops.Gradient(SHAPE)],
    ids=str,
)
def test_operators_of_the_whole_image_are_refused(operator):
    with pytest.raises(UnsupportedError, match="measures the image as a whole"):
        local_part(operator, TILE)
    with pytest.raises(UnsupportedError, match="as a whole"):
        reach(operator)


def test_a_tile_without_a_measured_pixel_is_refused():
    mask = np.ones((48, 40))
    mask[TILE.index] = 0
    with pytest.raises(UnsupportedError, match="row 8, column 12 has no measured pixel"):
        local_part(ops.Mask(mask, SHAPE), TILE)
