"""Means over blocks of torch tensors in CPU memory, their adjoint, and both, as compiled loops.

Array libraries write each step of these maps to memory, which is all that they cost; a compiled loop passes
over the image once. numba compiles it at the first call of a process, or finds it compiled by an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from .threads import host, in_threads
from .torch_fast import empty

if TYPE_CHECKING:
    import torch

UNROLLED = (2, 4)
"""Columns of a block for which loops of their own are compiled, with vector instructions."""


def block_means(x: torch.Tensor, factor: tuple[int, int]) -> torch.Tensor:
    """Return means over blocks, for sizes that the factor divides.

    Parameters
    ----------
    x : torch.Tensor
        Shape ``(..., H, W)``, as :func:`compilable` asks.
    factor : (int, int)
        Rows and columns of a block.

    Returns
    -------
    torch.Tensor
        Shape ``(..., H / rows, W / columns)``.
    """
    rows, columns = factor
    out = empty((*x.shape[:-2], x.shape[-2] // rows, x.shape[-1] // columns), x.dtype)
    _in_threads("means", x, (rows, x.shape[-1]), out, (out.shape[-1],), columns)
    return out


def block_spread(y: torch.Tensor, factor: tuple[int, int]) -> torch.Tensor:
    """Return the adjoint of :func:`block_means`: each value, by the block's size, all over its block.

    Parameters
    ----------
    y : torch.Tensor
        Shape ``(..., h, w)``, as :func:`compilable` asks.
    factor : (int, int)
        Rows and columns of a block.

    Returns
    -------
    torch.Tensor
        Shape ``(..., h * rows, w * columns)``.
    """
    (rows, columns), (height, width) = factor, y.shape[-2:]
    out = empty((*y.shape[:-2], height * rows, width * columns), y.dtype)
    _in_threads("spread", y, (width,), out, (rows, width * columns), columns)
    return out


def block_gram(x: torch.Tensor, factor: tuple[int, int]) -> torch.Tensor:
    """Return :func:`block_spread` of :func:`block_means` in one pass over the image.

    Parameters
    ----------
    x : torch.Tensor
        Shape ``(..., H, W)``, as :func:`compilable` asks.
    factor : (int, int)
        Rows and columns of a block.

    Returns
    -------
    torch.Tensor
        Of the shape of `x`.
    """
    out = empty(x.shape, x.dtype)
    band = (factor[0], x.shape[-1])
    _in_threads("gram", x, band, out, band, factor[1])
    return out


def _in_threads(
    name: str,
    given: torch.Tensor,
    band: tuple[int, ...],
    out: torch.Tensor,
    result: tuple[int, ...],
    columns: int,
) -> None:
    """Run a loop over bands of blocks of shape `band`, some in each thread; a result has shape `result`."""
    loop = _loops(columns if columns in UNROLLED else 0)[name]
    # NumPy changes shapes in less time than torch.
    bands, results = host(given).reshape(-1, *band), out.numpy().reshape(-1, *result)
    in_threads(
        lambda first, last: loop(bands[first:last], columns, results[first:last]),
        len(bands),
        max(bands.size, results.size),
    )


@cache
def _loops(unrolled: int) -> dict[str, Callable[[np.ndarray, int, np.ndarray], None]]:
    """Return the compiled loops; `unrolled` columns are a constant of the machine code, 0 for any number."""
    from numba import njit

    compiled = njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})

    @compiled
    def means(x: np.ndarray, columns: int, out: np.ndarray) -> None:
        step = unrolled if unrolled else columns
        bands, rows, _ = x.shape
        width = out.shape[1]
        weight = x.dtype.type(1 / (rows * step))
        for b in range(bands):
            for i in range(width):
                total = x[b, 0, i * step]
                for c in range(1, step):
                    total += x[b, 0, i * step + c]
                out[b, i] = total
            for r in range(1, rows):
                for i in range(width):
                    total = x[b, r, i * step]
                    for c in range(1, step):
                        total += x[b, r, i * step + c]
                    out[b, i] += total
            for i in range(width):
                out[b, i] *= weight

    @compiled
    def spread(y: np.ndarray, columns: int, out: np.ndarray) -> None:
        step = unrolled if unrolled else columns
        bands, rows, length = out.shape
        weight = y.dtype.type(1 / (rows * step))
        for b in range(bands):
            for i in range(y.shape[1]):
                value = y[b, i] * weight
                for c in range(step):
                    out[b, 0, i * step + c] = value
            for r in range(1, rows):
                for i in range(length):
                    out[b, r, i] = out[b, 0, i]

    @compiled
    def gram(x: np.ndarray, columns: int, out: np.ndarray) -> None:
        step = unrolled if unrolled else columns
        bands, rows, length = x.shape
        # The mean, by the block's size: twice the same weight.
        weight = x.dtype.type(1 / (rows * step) / (rows * step))
        sums = np.empty(length // step, x.dtype)
        for b in range(bands):
            for i in range(length // step):
                total = x[b, 0, i * step]
                for c in range(1, step):
                    total += x[b, 0, i * step + c]
                sums[i] = total
            for r in range(1, rows):
                for i in range(length // step):
                    total = x[b, r, i * step]
                    for c in range(1, step):
                        total += x[b, r, i * step + c]
                    sums[i] += total
            for i in range(length // step):
                value = sums[i] * weight
                for c in range(step):
                    out[b, 0, i * step + c] = value
            for r in range(1, rows):
                for i in range(length):
                    out[b, r, i] = out[b, 0, i]

    return {"means": means, "spread": spread, "gram": gram}
