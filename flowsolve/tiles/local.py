"""Operators that act locally, on a part of the image alone.

An operator that another package brings can be made known here: ``@local_part.register(MyOperator)``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..errors import UnsupportedError
from ..operators import Blur, Downsample, Identity, LinearOperator, Mask
from .grid import Tile


@dataclass(frozen=True)
class LocalPart:
    """An operator on a tile.

    Attributes
    ----------
    operator : LinearOperator
        The operator for images of the tile's size; near the tile's edges it may differ from the whole one.
    measured : tuple of slice
        Rows and columns of the measurements that belong to the tile.
    """

    operator: LinearOperator
    measured: tuple[slice, slice]


def reach(operator: LinearOperator) -> int:
    """Return how many pixels away a measured value is influenced from at most.

    Raises
    ------
    UnsupportedError
        If the operator measures the image as a whole.
    """
    if local_part.dispatch(type(operator)) is local_part.dispatch(object):
        raise _not_local(operator)
    kernel = getattr(operator, "kernel", None)
    return 0 if kernel is None else max(kernel.shape[-2:]) // 2 + 1


def alignment(operator: LinearOperator) -> tuple[int, int]:
    """Return what tiles have to begin at multiples of, along rows and columns."""
    return operator.factor if isinstance(operator, Downsample) else (1, 1)


@functools.singledispatch
def local_part(operator: LinearOperator, tile: Tile) -> LocalPart:
    """Return an operator of one image on a tile.

    Parameters
    ----------
    operator : LinearOperator
        The operator of the whole image.
    tile : Tile
        Where; it begins at multiples of `alignment`.

    Raises
    ------
    UnsupportedError
        If the operator measures the image as a whole.
    """
    raise _not_local(operator)


@local_part.register
def _(operator: Identity, tile: Tile) -> LocalPart:
    return LocalPart(Identity((operator.dim_shape[0], *tile.size)), tile.index)


@local_part.register
def _(operator: Mask, tile: Tile) -> LocalPart:
    mask = np.broadcast_to(operator.mask, (*operator.mask.shape[:-2], *operator.dim_shape[1:]))
    part = mask.reshape(-1, *operator.dim_shape[1:])[(..., *tile.index)]
    if not part.any():
        (top, _), (left, _) = tile.rows, tile.columns
        given = f"a tile of {tile.size[1]}x{tile.size[0]} pixels at row {top}, column {left}"
        raise UnsupportedError(f"tile: {given} has no measured pixel; larger tiles, or tile off")
    return LocalPart(Mask(np.ascontiguousarray(part), (operator.dim_shape[0], *tile.size)), tile.index)


@local_part.register
def _(operator: Blur, tile: Tile) -> LocalPart:
    part = Blur(operator.kernel, (operator.dim_shape[0], *tile.size), operator.boundary)
    # Measurements that are cropped begin where the image does.
    height, width = part.codim_shape[1:]
    (top, _), (left, _) = tile.rows, tile.columns
    return LocalPart(part, (slice(top, top + height), slice(left, left + width)))


@local_part.register
def _(operator: Downsample, tile: Tile) -> LocalPart:
    shape, factors = (operator.dim_shape[0], *tile.size), operator.factor
    part = Downsample(factors, shape, operator.kernel, operator.boundary, operator.offset)
    starts = [start // f for (start, _), f in zip((tile.rows, tile.columns), factors, strict=True)]
    rows, columns = (slice(s, s + n) for s, n in zip(starts, part.codim_shape[1:], strict=True))
    return LocalPart(part, (rows, columns))


def _not_local(operator: LinearOperator) -> UnsupportedError:
    return UnsupportedError(
        f"tile: {operator} measures the image as a whole; tiles are for the identity, masks, blurs and "
        "downsampling, anything else runs with tile off"
    )
