"""Small kernels applied directly to torch tensors in CPU memory.

A kernel is applied as a few additions of shifted planes, a tile that fits the cache at a
time. That is cheaper than a transform, and than ``conv2d``, whose speed depends on how many
planes there are and on the state of the allocator.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import torch_fast

if TYPE_CHECKING:
    import torch

TILE = 1 << 18
"""Pixels worked on at a time: a float32 tile of 1 MiB fits a core's cache."""

RANK_TOLERANCE = 1e-14
"""Relative singular values below this count as zero when a kernel is tested for rank one."""

_MEMORY = threading.local()


class Scratch:
    """Memory for the temporaries of one tile, kept from call to call by each thread.

    The allocator gives such sizes back to the system and takes them anew, each time filled
    with zeros a page at a time, which can cost more than the arithmetic.

    Parameters
    ----------
    dtype : torch.dtype
        Of the temporaries.
    """

    SIZE = 10 * TILE
    """Numbers kept; what goes beyond is allocated."""

    def __init__(self, dtype: torch.dtype) -> None:
        import torch

        self.dtype, self.used = dtype, 0
        kept = _MEMORY.__dict__
        if dtype not in kept:
            with torch.inference_mode(False):
                kept[dtype] = torch_fast.empty((self.SIZE,), dtype)
        self.memory = kept[dtype]

    def take(self, shape: Sequence[int]) -> torch.Tensor:
        """Return memory of a shape, which nothing else of this tile uses."""
        import torch

        count = math.prod(shape)
        start, self.used = self.used, self.used + count
        if self.used > self.SIZE:
            return torch.empty(*shape, dtype=self.dtype)
        return self.memory[start : self.used].view(*shape)


def _extend(
    x: torch.Tensor, axis: int, before: int, after: int, boundary: str, scratch: Scratch
) -> torch.Tensor:
    """Return x extended along an axis, as :func:`.boundaries.pad` does, in scratch memory."""
    if before == after == 0:
        return x
    n, shape = x.shape[axis], list(x.shape)
    shape[axis] = before + n + after
    out = scratch.take(shape)
    out.narrow(axis, before, n).copy_(x)
    _fill_edges(x, out, axis, before, after, boundary)
    return out


def _fill_edges(
    x: torch.Tensor, out: torch.Tensor, axis: int, before: int, after: int, boundary: str
) -> None:
    """Write what lies beyond the edges of x, which stands in `out` from `before` on."""
    n = x.shape[axis]
    front, back = out.narrow(axis, 0, before), out.narrow(axis, before + n, after)
    if boundary == "zero":
        front.zero_()
        back.zero_()
    elif boundary == "circular":
        front.copy_(x.narrow(axis, n - before, before))
        back.copy_(x.narrow(axis, 0, after))
    elif boundary == "reflect":
        front.copy_(x.narrow(axis, 1, before).flip(axis))
        back.copy_(x.narrow(axis, n - 1 - after, after).flip(axis))
    else:
        front.copy_(x.narrow(axis, 0, 1).expand_as(front))
        back.copy_(x.narrow(axis, n - 1, 1).expand_as(back))


class DirectFilter:
    """Correlation with small kernels as sums of shifted planes.

    The image is extended by `rows` and `columns` under a boundary rule, and
    ``out[i, j] = sum over (a, b) of kernel[a, b] * extended[i + a, j + b]`` wherever the
    kernel fits.

    Parameters
    ----------
    kernels : numpy.ndarray
        Shape ``(1 or C, kh, kw)``. Kernels of rank one take kh + kw passes over the image,
        others one for each entry that is not zero.
    rows, columns : (int, int)
        How far to extend before and after.
    boundary : {"circular", "zero", "reflect", "replicate"}
        What to fill in.
    """

    def __init__(
        self, kernels: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], boundary: str
    ) -> None:
        self.rows, self.columns, self.boundary = rows, columns, boundary
        self.size = kernels.shape[1:]
        self.kernels = [_factors(k) for k in kernels]
        self._row_index: dict[int, torch.Tensor] = {}

    @property
    def passes(self) -> int:
        """Number of passes over the image, of the dearest kernel."""
        return max(sum(f.passes for f in factors) for factors in self.kernels)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the correlation of ``(..., C, H, W)`` with the kernels."""
        height = x.shape[-2] + sum(self.rows) - self.size[0] + 1
        width = x.shape[-1] + sum(self.columns) - self.size[1] + 1
        out = torch_fast.empty((*x.shape[:-2], height, width), x.dtype)
        count = len(self.kernels)
        images = x.reshape(-1, count, x.shape[-3] // count, *x.shape[-2:])
        results = out.view(-1, count, x.shape[-3] // count, height, width)
        for i, factors in enumerate(self.kernels):
            # With one kernel for all, this view holds every plane of the batch.
            source, target = images[:, i].flatten(0, 1), results[:, i]
            self._run(factors, source, target.view(-1, height, width) if count == 1 else target[:, 0])
        return out

    def _run(self, factors: list, source: torch.Tensor, target: torch.Tensor) -> None:
        planes, height, width = target.shape
        if source.shape[-2] * source.shape[-1] <= TILE:
            count = max(1, TILE // (height * width))
            for start in range(0, planes, count):
                part, scratch = source[start : start + count], Scratch(source.dtype)
                extended = _extend(part, -2, *self.rows, self.boundary, scratch)
                self._tile(factors, extended, target[start : start + count], scratch)
            return
        rows = max(1, TILE // width)
        for plane, result in zip(source, target, strict=True):
            for start in range(0, height, rows):
                part = result[start : start + rows]
                extended = self._rows_of(plane, start, start + len(part))
                self._tile(factors, extended, part, Scratch(source.dtype))

    def _rows_of(self, plane: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Return the extended rows that the results from `start` to `stop` are made of."""
        import torch

        first, last = start - self.rows[0], stop + self.size[0] - 1 - self.rows[0]
        if first >= 0 and last <= len(plane):
            return plane[first:last]
        index = self._row_index.get(len(plane))
        if index is None:
            mode = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}
            numbers = np.arange(len(plane))
            if self.boundary == "zero":
                padded = np.pad(numbers, self.rows, constant_values=-1)
            else:
                padded = np.pad(numbers, self.rows, mode=mode[self.boundary])  # type: ignore[call-overload]
            index = self._row_index[len(plane)] = torch.from_numpy(padded)
        wanted = index[start : stop + self.size[0] - 1]
        rows = plane.index_select(0, wanted.clamp(min=0))
        if self.boundary == "zero":
            rows[wanted < 0] = 0
        return rows

    def _tile(self, factors: list, extended: torch.Tensor, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the results whose extended rows are given; columns are extended here."""
        if len(factors) == 2:
            before, after = self.columns
            width = extended.shape[-1]
            wide = scratch.take((*extended.shape[:-2], out.shape[-2], before + width + after))
            core = wide.narrow(-1, before, width)
            factors[0].rows(extended, core, scratch)
            _fill_edges(core, wide, -1, before, after, self.boundary)
            factors[1].columns(wide, out, scratch)
            return
        factors[0].run(_extend(extended, -1, *self.columns, self.boundary, scratch), out, scratch)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_row_index": {}}


class _Taps:
    """A weighted sum of shifted planes, along both axes."""

    def __init__(self, taps: list[tuple[tuple[int, int], float]]) -> None:
        self.taps, self.passes = taps, len(taps)

    def run(self, x: torch.Tensor, out: torch.Tensor, scratch: Scratch) -> None:
        x = x.contiguous()
        places = [(a * x.shape[-1] + b, w) for (a, b), w in self.taps]
        _accumulate_flat(_shifts(x, places), x, out, scratch)


class _Profile:
    """A weighted sum of shifts along one axis."""

    def __init__(self, weights: np.ndarray) -> None:
        limit = RANK_TOLERANCE * float(np.abs(weights).max())
        self.taps = [(int(i), float(weights[i])) for i in np.flatnonzero(np.abs(weights) > limit)]
        self.passes = len(self.taps)

    def scaled(self, factor: float) -> _Profile:
        """Return the same sum times a number."""
        other = copy.copy(self)
        other.taps = [(i, factor * w) for i, w in self.taps]
        return other

    def rows(self, x: torch.Tensor, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the sum over shifts from row to row."""
        height = out.shape[-2]
        _accumulate([(w, x.narrow(-2, i, height)) for i, w in self.taps], out, scratch.take(out.shape))

    def columns(self, x: torch.Tensor, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the sum over shifts from column to column."""
        _accumulate_flat(_shifts(x, self.taps), x, out, scratch)


class _Box:
    """A sum over a window of equal weights, from sums over windows of 1, 2, 4, ... pixels."""

    def __init__(self, start: int, count: int, weight: float) -> None:
        self.start, self.count, self.weight = start, count, weight
        self.passes = count.bit_length() + count.bit_count()

    def scaled(self, factor: float) -> _Box:
        """Return the same sum times a number."""
        return _Box(self.start, self.count, factor * self.weight)

    def rows(self, x: torch.Tensor, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the sum over a window of rows."""
        height = out.shape[-2]
        pieces = self._pieces(x.narrow(-2, self.start, height + self.count - 1), -2, height, scratch)
        _accumulate([(1.0, p) for p in pieces], out, scratch.take(out.shape), self.weight)

    def columns(self, x: torch.Tensor, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the sum over a window of columns."""
        flat = x.reshape(-1)
        length = flat.numel() - self.start - self.count + 1
        pieces = self._pieces(flat.narrow(0, self.start, flat.numel() - self.start), 0, length, scratch)
        _accumulate_flat([(1.0, p) for p in pieces], x, out, scratch, self.weight)

    def _pieces(self, window: torch.Tensor, axis: int, n: int, scratch: Scratch) -> list[torch.Tensor]:
        """Return what adds up to the sum: windows of the powers of two in the count, end to end."""
        import torch

        count, width, offset, pieces = self.count, 1, 0, []
        while count:
            if count & 1:
                pieces.append(window.narrow(axis, offset, n))
                offset += width
            count >>= 1
            if count:
                shape = list(window.shape)
                shape[axis] -= width
                left, right = (window.narrow(axis, i, shape[axis]) for i in (0, width))
                window = torch.add(left, right, out=scratch.take(shape))
                width *= 2
        return pieces


def _accumulate(
    terms: Sequence[tuple[float, torch.Tensor]], out: torch.Tensor, total: torch.Tensor, scale: float = 1.0
) -> None:
    """Write a weighted sum of tensors, times `scale`.

    All but the last step are done in `total`, which has no gaps; the last one writes to
    `out`, which may have some.
    """
    import torch

    weight, term = terms[0]
    if len(terms) == 1:
        torch.mul(term, weight * scale, out=out)
        return
    if weight == 1.0 and len(terms) > 2:
        total, terms = torch.add(term, terms[1][1], alpha=terms[1][0], out=total), terms[1:]
    elif weight == 1.0:
        total = term
    else:
        torch.mul(term, weight, out=total)
    for w, other in terms[1:-1]:
        total.add_(other, alpha=w)
    weight, term = terms[-1]
    torch.add(total, term, alpha=weight, out=out)
    if scale != 1.0:
        out *= scale


def _accumulate_flat(
    terms: Sequence[tuple[float, torch.Tensor]],
    x: torch.Tensor,
    out: torch.Tensor,
    scratch: Scratch,
    scale: float = 1.0,
) -> None:
    """Write a weighted sum of shifts of x, each one flat line of numbers without gaps.

    The rows of x, which has no gaps, are longer than those of the result: what wraps from
    one row into the next ends in the columns that are left out.
    """
    import torch

    *most, (weight, last) = terms

    def cut(line: torch.Tensor) -> torch.Tensor:
        shape = (*x.shape[:-2], *out.shape[-2:])
        return line.as_strided(shape, x.stride(), line.storage_offset())

    if not most:
        torch.mul(cut(last), weight * scale, out=out)
        return
    if len(most) == 1 and most[0][0] == 1.0:
        total = most[0][1]
    else:
        total = scratch.take(last.shape)
        _accumulate(most, total, total)
    torch.add(cut(total), cut(last), alpha=weight, out=out)
    if scale != 1.0:
        out *= scale


def _shifts(x: torch.Tensor, places: Sequence[tuple[int, float]]) -> list[tuple[float, torch.Tensor]]:
    """Return weights and shifts of x as one line; the last place is the furthest."""
    flat = x.reshape(-1)
    length = flat.numel() - places[-1][0]
    return [(w, flat.narrow(0, place, length)) for place, w in places]


def _factors(kernel: np.ndarray) -> list[Any]:
    """Return one sum of shifts, or one along rows and one along columns where the rank is one."""
    taps = [((int(a), int(b)), float(kernel[a, b])) for a, b in zip(*np.nonzero(kernel), strict=True)]
    whole = _Taps(taps)
    u, s, vt = np.linalg.svd(kernel)
    if s[1:].size and s[1] > RANK_TOLERANCE * kernel.size * s[0]:
        return [whole]
    # Signs and scale go with the rows, so that a mean stays a mean of columns.
    scale = float(np.abs(vt[0]).sum()) * (1.0 if vt[0].sum() >= 0 else -1.0)
    rows, columns = _line(u[:, 0] * s[0] * scale), _line(vt[0] / scale)
    if isinstance(rows, _Box):
        # One multiplication for both.
        rows, columns = rows.scaled(1 / rows.weight), columns.scaled(rows.weight)
    return [rows, columns] if rows.passes + columns.passes < whole.passes else [whole]


def _line(weights: np.ndarray) -> _Profile | _Box:
    """Return the cheaper way to sum along an axis."""
    profile = _Profile(weights)
    places, values = [i for i, _ in profile.taps], [w for _, w in profile.taps]
    even = max(values) - min(values) <= RANK_TOLERANCE * weights.size * abs(values[0])
    if not even or places[-1] - places[0] + 1 != len(places):
        return profile
    box = _Box(places[0], len(places), float(np.mean(values)))
    return box if box.passes < profile.passes else profile
