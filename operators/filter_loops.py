"""Machine code of direct filters: sums of shifted rows that stay in the innermost cache.

Offsets are unsigned, or else numba would look for negative ones at every number; four shifts are added at a
time, so that a row is read and written once for four.
"""

from __future__ import annotations

import numpy as np
from numba import njit

compiled = njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
U = np.uintp

Arrays = tuple[np.ndarray, ...]
Sizes = tuple[int, int, int, int]


@compiled
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


@compiled
def _extend(line: np.ndarray, start: int, width: int, before: np.ndarray, after: np.ndarray) -> None:
    """Fill in what lies beside the `width` numbers that stand in line from start + len(before) on."""
    core = start + len(before)
    for j in range(len(before)):
        line[start + j] = line[core + before[j]] if before[j] >= 0 else 0
    for j in range(len(after)):
        line[core + width + j] = line[core + after[j]] if after[j] >= 0 else 0


@compiled
def separable(
    x: np.ndarray,
    size: Sizes,
    rows: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    places: Arrays,
    taps: Arrays,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Filter output rows first to last by one profile along each axis.

    `x` and `out` are flat; `size` has the planes' height and width and the results'. `rows`, `before` and
    `after` say which row or column an extended one is, -1 for zeros. `places` and `taps` are the profiles, of
    the rows and of the columns: where they are not zero, and what they are there.
    """
    height, width, results, length = size
    line = np.zeros(len(before) + width + len(after), x.dtype)
    offsets, weights = np.empty(len(taps[0]), np.uintp), np.empty(len(taps[0]), x.dtype)
    for g in range(first, last):
        plane, i, count = g // results, g % results, 0
        for t in range(len(taps[0])):
            row = rows[i + places[0][t]]
            if row >= 0:
                offsets[count] = U((plane * height + row) * width)
                weights[count] = taps[0][t]
                count += 1
        add_shifts(x, offsets, weights, count, line, U(len(before)), width)
        _extend(line, 0, width, before, after)
        add_shifts(line, places[1], taps[1], len(taps[1]), out, U(g * length), length)


@compiled
def full(
    x: np.ndarray,
    size: Sizes,
    rows: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    places: Arrays,
    taps: Arrays,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Filter output rows first to last by any kernel: `places` are its rows and columns that are not zero.

    The extended rows that a result needs are kept in turn, so that each is made once for a plane.
    """
    height, width, results, length = size
    wide, tall = len(before) + width + len(after), len(rows) - results + 1
    kept, held = np.zeros(tall * wide, x.dtype), np.full(tall, -1, np.int64)
    offsets = np.empty(len(taps[0]), np.uintp)
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
        for t in range(len(taps[0])):
            offsets[t] = U(((i + places[0][t]) % tall) * wide) + places[1][t]
        add_shifts(kept, offsets, taps[0], len(taps[0]), out, U(g * length), length)
