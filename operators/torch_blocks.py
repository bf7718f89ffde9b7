"""Means over blocks of torch tensors in CPU memory, their adjoint, and both in one pass.

A few bands of rows at a time, so that what one step writes is still in the cache for the next; temporaries
lie in memory that a thread keeps, since the allocator would hand them out anew at every call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .torch_fast import empty
from .torch_program import scratch

if TYPE_CHECKING:
    import torch

TILE = 1 << 19
"""Pixels worked on at a time."""

SLICES = 8
"""Up to so many slices are added one by one."""


def block_means(x: torch.Tensor, factor: tuple[int, int]) -> torch.Tensor:
    """Return means over blocks, for sizes that the factor divides.

    Parameters
    ----------
    x : torch.Tensor
        Shape ``(..., H, W)``.
    factor : (int, int)
        Rows and columns of a block.

    Returns
    -------
    torch.Tensor
        Shape ``(..., H / rows, W / columns)``.
    """
    rows, columns = factor
    height, width = x.shape[-2] // rows, x.shape[-1] // columns
    out = empty((*x.shape[:-2], height, width), x.dtype)
    bands, results = x.reshape(-1, rows, width, columns), out.view(-1, width)
    for tile in _tiles(bands):
        _means(bands[tile], _Memory(x), results[tile])
    return out


def block_spread(y: torch.Tensor, factor: tuple[int, int]) -> torch.Tensor:
    """Return the adjoint of :func:`block_means`: each value, by the block's size, all over its block.

    Parameters
    ----------
    y : torch.Tensor
        Shape ``(..., h, w)``.
    factor : (int, int)
        Rows and columns of a block.

    Returns
    -------
    torch.Tensor
        Shape ``(..., h * rows, w * columns)``.
    """
    (rows, columns), (height, width) = factor, y.shape[-2:]
    out = empty((*y.shape[:-2], height * rows, width * columns), y.dtype)
    values, bands = y.reshape(-1, width), out.view(-1, rows, width, columns)
    for tile in _tiles(bands):
        _spread(values[tile], _Memory(y), bands[tile])
    return out


def block_gram(x: torch.Tensor, factor: tuple[int, int]) -> torch.Tensor:
    """Return :func:`block_spread` of :func:`block_means`, each part of the image taken through both at once.

    Parameters
    ----------
    x : torch.Tensor
        Shape ``(..., H, W)``.
    factor : (int, int)
        Rows and columns of a block.

    Returns
    -------
    torch.Tensor
        Of the shape of `x`.
    """
    rows, columns = factor
    out = empty(x.shape, x.dtype)
    bands = x.reshape(-1, rows, x.shape[-1] // columns, columns)
    results = out.view(bands.shape)
    for tile in _tiles(bands):
        memory = _Memory(x)
        _spread(_means(bands[tile], memory), memory, results[tile])
    return out


def _tiles(bands: torch.Tensor) -> Iterator[slice]:
    """Yield the tiles of bands of blocks, shape (n, rows, w, columns)."""
    count = max(1, TILE // math.prod(bands.shape[1:]))
    return (slice(start, start + count) for start in range(0, len(bands), count))


class _Memory:
    """Memory for the temporaries of one tile: what the thread keeps, and new where that is used up."""

    def __init__(self, like: torch.Tensor) -> None:
        self.dtype, self.free = like.dtype, scratch(like.dtype)

    def take(self, *shape: int) -> torch.Tensor:
        n = math.prod(shape)
        if n > len(self.free):
            return empty(shape, self.dtype)
        taken, self.free = self.free[:n], self.free[n:]
        return taken.view(shape)


def _means(bands: torch.Tensor, memory: _Memory, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return the means, shape (n, w), of bands of blocks, shape (n, rows, w, columns)."""
    n, _, width, columns = bands.shape
    lines = _mean(bands.flatten(2), 1, memory.take(n, width * columns))
    return _mean(lines.view(n, width, columns), 2, memory.take(n, width) if out is None else out)


def _spread(values: torch.Tensor, memory: _Memory, out: torch.Tensor) -> None:
    """Write values, shape (n, w), by the blocks' size, all over their blocks, shape (n, rows, w, columns)."""
    import torch

    rows, _, columns = out.shape[1:]
    weight = 1 / (rows * columns)
    if columns == 2:
        # Two equal neighbours are a complex number, written at once.
        pairs = torch.view_as_complex(out)
        torch.mul(values, torch.tensor(complex(weight, weight), dtype=pairs.dtype), out=pairs[:, 0])
    else:
        scaled = torch.mul(values, weight, out=memory.take(*values.shape))
        for j in range(columns):
            out[:, 0, :, j] = scaled
    if rows > 1:
        out[:, 1:] = out[:, :1]


def _mean(x: torch.Tensor, axis: int, out: torch.Tensor) -> torch.Tensor:
    """Return the mean along an axis, which for a few slices is fastest slice by slice."""
    import torch

    count = x.shape[axis]
    if count > SLICES:
        return torch.mean(x, axis, out=out)
    if count == 1:
        return out.copy_(x.select(axis, 0))
    if count == 2:
        return torch.lerp(x.select(axis, 0), x.select(axis, 1), 0.5, out=out)
    total = torch.add(x.select(axis, 0), x.select(axis, 1), out=out)
    for i in range(2, count):
        total += x.select(axis, i)
    total *= 1 / count
    return total
