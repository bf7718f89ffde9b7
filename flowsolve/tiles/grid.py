"""Where the tiles of an image lie, and how much each counts at every pixel.

Tiles begin at multiples of a number of pixels that the flow's levels and the operator ask for, so that a tile
is seen as that part of the image is. Towards its neighbours a tile counts nothing along a margin, where it
does not know what lies beyond, and then more and more along a raised cosine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image.

    Attributes
    ----------
    rows, columns : (int, int)
        The first, and the one after the last.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def index(self) -> tuple[slice, slice]:
        """What to index an image (..., H, W) with, after an ellipsis."""
        return slice(*self.rows), slice(*self.columns)


def tile_grid(size: tuple[int, int], side: int, overlap: int, align: int) -> list[Tile]:
    """Return the tiles of an image, row by row.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image.
    side : int
        Height and width of a tile; the last of a row or column are up to `align` − 1 pixels larger.
    overlap : int
        Pixels that neighbours share at least.
    align : int
        What tiles begin at multiples of.

    Raises
    ------
    ArgumentError
        If tiles of this size would not get on.
    """
    step = (side - overlap) // align * align
    if step < 1:
        raise ArgumentError("tile", side, f"at least {overlap + align} pixels for this operator and prior")
    rows, columns = (_intervals(length, side, step, align) for length in size)
    return [Tile(r, c) for r in rows for c in columns]


def _intervals(length: int, side: int, step: int, align: int) -> list[tuple[int, int]]:
    if length <= side:
        return [(0, length)]
    last = (length - side) // align * align
    return [(start, start + side) for start in range(0, last, step)] + [(last, length)]


def weights(tile: Tile, size: tuple[int, int], overlap: int, margin: int) -> np.ndarray:
    """Return how much a tile counts at each of its pixels, (h, w), float64; to be divided by the sum.

    Parameters
    ----------
    tile : Tile
        The tile.
    size : (int, int)
        Height and width of the image: at its edges a tile counts in full.
    overlap : int
        Pixels that it shares with its neighbours.
    margin : int
        Pixels beside a neighbour at which it counts nothing.
    """
    rows, columns = (
        _ramp(interval, length, overlap, margin)
        for interval, length in zip((tile.rows, tile.columns), size, strict=True)
    )
    return np.outer(rows, columns)


def _ramp(interval: tuple[int, int], length: int, overlap: int, margin: int) -> np.ndarray:
    start, stop = interval
    at = np.arange(stop - start) + 0.5
    rising = overlap - 2 * margin
    total = np.ones(stop - start)
    for inside, distance in ((start > 0, at), (stop < length, at[::-1])):
        if inside:
            share = np.clip((distance - margin) / rising, 0, 1)
            total *= 0.5 - 0.5 * np.cos(np.pi * share)
    return total
