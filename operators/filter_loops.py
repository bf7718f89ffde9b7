"""Machine code of direct filters: sums of shifted rows that stay in the innermost cache.

Offsets are unsigned, or else numba would look for negative ones at every number; four shifts are added at a
time, so that a row is read and written once for four.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

FAST = {"reassoc", "contract", "nsz"}
compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
# A call counts references to every array it is given, which for a short row takes as long as its sums.
inlined = njit(inline="always", error_model="numpy", fastmath=FAST)
U = np.uintp


class Plan(NamedTuple):
    """What the loops do, whatever the images.

    Attributes
    ----------
    size : (int, int, int, int)
        Height and width of the planes, and of the results.
    rows, before, after : numpy.ndarray
        Which row an extended one is, and which columns lie before and after the others; -1 for zeros.
    places, taps : tuple of numpy.ndarray
        Where the kernel is not zero, and what it is there: rows and columns, and one array of values; for
        :func:`separable` those of the profile along rows and of that along columns.
    """

    size: tuple[int, int, int, int]
    rows: np.ndarray
    before: np.ndarray
    after: np.ndarray
    places: tuple[np.ndarray, np.ndarray]
    taps: tuple[np.ndarray, ...]


@inlined
def add_shifts(
    source: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    count: int,
    target: np.ndarray,
    start: np.uintp,
    length: int,
) -> None:
    """Write sum over t < count of weights[t] * source[offsets[t] + j] to target[start + j], j < length."""
    t = count % 4
    if count == 0:
        for j in range(length):
            target[start + U(j)] = 0
    elif t == 1:
        a, p = offsets[0], weights[0]
        for j in range(length):
            target[start + U(j)] = p * source[a + U(j)]
    elif t == 2:
        a, b, p, q = offsets[0], offsets[1], weights[0], weights[1]
        for j in range(length):
            target[start + U(j)] = p * source[a + U(j)] + q * source[b + U(j)]
    elif t == 3:
        a, b, c = offsets[0], offsets[1], offsets[2]
        p, q, r = weights[0], weights[1], weights[2]
        for j in range(length):
            u = U(j)
            target[start + u] = p * source[a + u] + q * source[b + u] + r * source[c + u]
    else:
        a, b, c, d = offsets[0], offsets[1], offsets[2], offsets[3]
        p, q, r, s = weights[0], weights[1], weights[2], weights[3]
        for j in range(length):
            u = U(j)
            total = p * source[a + u] + q * source[b + u]
            target[start + u] = total + r * source[c + u] + s * source[d + u]
        t = 4
    while t < count:
        a, b, c, d = offsets[t], offsets[t + 1], offsets[t + 2], offsets[t + 3]
        p, q, r, s = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        for j in range(length):
            u = U(j)
            total = p * source[a + u] + q * source[b + u]
            target[start + u] += total + r * source[c + u] + s * source[d + u]
        t += 4


@inlined
def _extend(line: np.ndarray, start: int, width: int, before: np.ndarray, after: np.ndarray) -> None:
    """Fill in what lies beside the `width` numbers that stand in line from start + len(before) on."""
    core = start + len(before)
    for j in range(len(before)):
        line[start + j] = line[core + before[j]] if before[j] >= 0 else 0
    for j in range(len(after)):
        line[core + width + j] = line[core + after[j]] if after[j] >= 0 else 0


@compiled
def separable(x: np.ndarray, plan: Plan, out: np.ndarray, first: int, last: int) -> None:
    """Filter output rows first to last of flat `x` into flat `out`, by one profile along each axis."""
    size, rows, before, after, places, taps = plan
    height, width, results, length = size
    (row_places, column_places), (row_taps, column_taps) = places, taps
    line = np.zeros(len(before) + width + len(after), x.dtype)
    offsets, weights = np.empty(len(row_taps), np.uintp), np.empty(len(row_taps), x.dtype)
    for g in range(first, last):
        plane, i, count = g // results, g % results, 0
        for t in range(len(row_taps)):
            row = rows[i + row_places[t]]
            if row >= 0:
                offsets[count] = U((plane * height + row) * width)
                weights[count] = row_taps[t]
                count += 1
        add_shifts(x, offsets, weights, count, line, U(len(before)), width)
        _extend(line, 0, width, before, after)
        add_shifts(line, column_places, column_taps, len(column_taps), out, U(g * length), length)


@compiled
def full(x: np.ndarray, plan: Plan, out: np.ndarray, first: int, last: int) -> None:
    """Filter output rows first to last of flat `x` into flat `out`, by any kernel.

    The extended rows that a result needs are kept in turn, so that each is made once for a plane.
    """
    size, rows, before, after, places, taps = plan
    height, width, results, length = size
    (row_places, column_places), (weights,) = places, taps
    wide, tall = len(before) + width + len(after), len(rows) - results + 1
    kept, held = np.zeros(tall * wide, x.dtype), np.full(tall, -1, np.int64)
    offsets = np.empty(len(weights), np.uintp)
    for g in range(first, last):
        plane, i = g // results, g % results
        for extended in range(i, i + tall):
            slot, number = extended % tall, plane * len(rows) + extended
            if held[slot] == number:
                continue
            held[slot], row, start = number, rows[extended], slot * wide
            for j in range(width):
                where = start + len(before) + j
                kept[where] = x[(plane * height + row) * width + j] if row >= 0 else 0
            _extend(kept, start, width, before, after)
        for t in range(len(weights)):
            offsets[t] = U(((i + row_places[t]) % tall) * wide) + column_places[t]
        add_shifts(kept, offsets, weights, len(weights), out, U(g * length), length)
