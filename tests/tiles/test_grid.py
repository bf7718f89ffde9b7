"""Tiles cover an image, begin where they may, and their weights add up."""

import itertools

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.tiles.grid import Tile, tile_grid, weights


@pytest.mark.parametrize("size", [(64, 64), (100, 37), (33, 130), (65, 64)])
@pytest.mark.parametrize(("side", "overlap", "align"), [(32, 12, 4), (48, 20, 16), (40, 10, 6)])
def test_every_pixel_is_in_a_tile_that_begins_where_it_may(size, side, overlap, align):
    tiles = tile_grid(size, side, overlap, align)
    total = np.zeros(size)
    for tile in tiles:
        assert tile.rows[0] % align == 0 and tile.columns[0] % align == 0
        assert max(tile.size) < side + align
        total[tile.index] += weights(tile, size, overlap, 2)
    assert (total > 0).all()
    starts = sorted({tile.rows for tile in tiles})
    assert all(before[1] - after[0] >= overlap for before, after in itertools.pairwise(starts))


def test_towards_a_neighbour_a_tile_counts_nothing_and_at_the_edge_in_full():
    line = weights(Tile((0, 32), (0, 8)), (64, 8), 12, 2)[:, 0]
    assert line[0] == 1 and line[19] == 1 and (line[-2:] == 0).all()
    assert (np.diff(line[20:]) <= 0).all()


def test_a_small_image_is_one_tile():
    assert tile_grid((20, 30), 32, 12, 4) == [Tile((0, 20), (0, 30))]


def test_tiles_that_would_not_get_on_are_refused():
    with pytest.raises(ArgumentError, match="tile: got 12; accepted: at least 16"):
        tile_grid((64, 64), 12, 12, 4)
