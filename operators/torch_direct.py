"""Small kernels applied directly to torch tensors in CPU memory.

A kernel is applied as a few additions of shifted planes, a tile that fits the cache at a
time. That is cheaper than a transform, and than ``conv2d``, whose speed depends on how many
planes there are and on the state of the allocator.

For each shape of tile the steps are written down once (:mod:`.torch_program`) and repeated
tile by tile: making the views of memory that they work on costs as much as the arithmetic.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import torch_fast
from .torch_program import Program, kept

if TYPE_CHECKING:
    import torch

TILE = 1 << 18
"""Pixels worked on at a time: a float32 tile of 1 MiB."""

PROGRAMS = 32
"""Programs kept by each thread; the oldest is forgotten first."""

RANK_TOLERANCE = 1e-14
"""Relative singular values below this count as zero when a kernel is tested for rank one."""

_NUMBERS = itertools.count()


class DirectFilter:
    """Correlation with small kernels as sums of shifted planes.

    The image is extended by `rows` and `columns` under a boundary rule, and
    ``out[i, j] = sum over (a, b) of kernel[a, b] * extended[i + a, j + b]`` wherever the
    kernel fits.

    Parameters
    ----------
    kernels : numpy.ndarray
        Shape ``(1 or C, kh, kw)``. Kernels of rank one take at most kh + kw passes over the
        image, windows of equal weights fewer, others one for each entry that is not zero.
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
        self._number = next(_NUMBERS)

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
        for i in range(count):
            # With one kernel for all, this view holds every plane of the batch.
            source, target = images[:, i].flatten(0, 1), results[:, i]
            self._run(i, source, target.view(-1, height, width) if count == 1 else target[:, 0])
        return out

    def _run(self, kernel: int, source: torch.Tensor, target: torch.Tensor) -> None:
        planes, height, width = target.shape
        n = source.shape[-2]
        if n * source.shape[-1] <= TILE:
            count = max(1, TILE // (height * width))
            for start in range(0, planes, count):
                part = source[start : start + count]
                program = self._program(kernel, (len(part), height, width), n, x=source)
                program.entry.narrow(-2, self.rows[0], n).copy_(part)
                program.run(target[start : start + count])
            return
        rows, index = max(1, TILE // width), _row_index(n, self.rows, self.boundary)
        for plane, result in zip(source, target, strict=True):
            for start in range(0, height, rows):
                part = result[start : start + rows]
                program = self._program(kernel, tuple(part.shape), None, x=source)
                _take_rows(plane, index, start, self.rows[0], program.entry)
                program.run(part)

    def _program(self, kernel: int, result: tuple[int, ...], core: int | None, x: torch.Tensor) -> Program:
        """Return the program for results of a shape.

        Where `core` rows of the entry are whole planes, the program extends them itself.
        """
        programs = kept().setdefault("programs", {})
        key = (self._number, kernel, result, core, x.shape[-1], x.dtype, TILE)
        program = programs.get(key)
        if program is None:
            if len(programs) >= PROGRAMS:
                programs.pop(next(iter(programs)))
            program = programs[key] = self._compile(kernel, result, core, x)
        return program

    def _compile(self, kernel: int, result: tuple[int, ...], core: int | None, x: torch.Tensor) -> Program:
        import torch

        factors, width = self.kernels[kernel], x.shape[-1]
        (before, after), height = self.columns, result[-2]
        with torch.inference_mode(False), torch.no_grad():
            entry = (*result[:-2], height + self.size[0] - 1, width)
            lines = height if len(factors) == 2 else entry[-2]
            program = Program(x.dtype, (*result[:-2], lines, before + width + after), entry)
            if core is not None:
                _extend(program, program.entry, -2, *self.rows, self.boundary)
            inner = program.wide.narrow(-1, before, width)
            if len(factors) == 2:
                factors[0].rows(program, program.entry, inner)
            else:
                program.do(lambda: inner.copy_(program.entry))
            _extend(program, program.wide, -1, before, after, self.boundary)
            program.release()
            factors[-1].columns(program, program.wide, result)
        return program

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_number"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _number=next(_NUMBERS))


def _extend(program: Program, x: torch.Tensor, axis: int, before: int, after: int, boundary: str) -> None:
    """Have what lies beyond the edges filled in, from what stands in x from `before` on."""
    n = x.shape[axis] - before - after
    core = x.narrow(axis, before, n)
    front, back = x.narrow(axis, 0, before), x.narrow(axis, before + n, after)
    if boundary == "circular":
        sources = core.narrow(axis, n - before, before), core.narrow(axis, 0, after)
    elif boundary == "replicate":
        sources = core.narrow(axis, 0, 1).expand_as(front), core.narrow(axis, n - 1, 1).expand_as(back)
    elif boundary == "reflect":
        sources = core.narrow(axis, 1, before), core.narrow(axis, n - 1 - after, after)
    for edge, count, i in ((front, before, 0), (back, after, 1)):
        if count and boundary == "zero":
            program.do(edge.zero_)
        elif count and boundary == "reflect":
            program.do(lambda e=edge, s=sources[i]: e.copy_(s.flip(axis)))  # type: ignore[misc]
        elif count:
            program.do(lambda e=edge, s=sources[i]: e.copy_(s))  # type: ignore[misc]


def _row_index(n: int, rows: tuple[int, int], boundary: str) -> torch.Tensor:
    """Return which row of a plane each extended row is; -1 for rows of zeros."""
    import torch

    if boundary == "zero":
        return torch.from_numpy(np.pad(np.arange(n), rows, constant_values=-1))
    mode = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}[boundary]
    return torch.from_numpy(np.pad(np.arange(n), rows, mode=mode))  # type: ignore[call-overload]


def _take_rows(
    plane: torch.Tensor, index: torch.Tensor, start: int, before: int, entry: torch.Tensor
) -> None:
    """Copy the extended rows from `start` on to `entry`."""
    first, count = start - before, len(entry)
    if first >= 0 and first + count <= len(plane):
        entry.copy_(plane[first : first + count])
        return
    wanted = index[start : start + count]
    entry.copy_(plane[wanted.clamp(min=0)])
    entry[wanted < 0] = 0


class _Taps:
    """A weighted sum of shifted planes, along both axes."""

    def __init__(self, taps: list[tuple[tuple[int, int], float]]) -> None:
        self.taps, self.passes = taps, len(taps)

    def columns(self, program: Program, x: torch.Tensor, shape: Sequence[int]) -> None:
        """Have the sum written to the result."""
        places = [(a * x.shape[-1] + b, w) for (a, b), w in self.taps]
        _finish(program, _shifts(x, places), x, shape)


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

    def rows(self, program: Program, x: torch.Tensor, out: torch.Tensor) -> None:
        """Have the sum over shifts from row to row written to `out`."""
        terms = [(w, x.narrow(-2, i, out.shape[-2])) for i, w in self.taps]
        _accumulate(program, terms, out)

    def columns(self, program: Program, x: torch.Tensor, shape: Sequence[int]) -> None:
        """Have the sum over shifts from column to column written to the result."""
        _finish(program, _shifts(x, self.taps), x, shape)


class _Box:
    """A sum over a window of equal weights, from sums over windows of 1, 2, 4, ... pixels."""

    def __init__(self, start: int, count: int, weight: float) -> None:
        self.start, self.count, self.weight = start, count, weight
        self.passes = count.bit_length() + count.bit_count()

    def scaled(self, factor: float) -> _Box:
        """Return the same sum times a number."""
        return _Box(self.start, self.count, factor * self.weight)

    def rows(self, program: Program, x: torch.Tensor, out: torch.Tensor) -> None:
        """Have the sum over a window of rows written to `out`."""
        window = x.narrow(-2, self.start, out.shape[-2] + self.count - 1)
        terms = [(1.0, piece) for piece in self._pieces(program, window, -2, out.shape[-2])]
        _accumulate(program, terms, out, self.weight)

    def columns(self, program: Program, x: torch.Tensor, shape: Sequence[int]) -> None:
        """Have the sum over a window of columns written to the result."""
        line = x.view(-1)[self.start :]
        pieces = self._pieces(program, line, 0, len(line) - self.count + 1)
        _finish(program, [(1.0, piece) for piece in pieces], x, shape, self.weight)

    def _pieces(self, program: Program, window: torch.Tensor, axis: int, n: int) -> list[torch.Tensor]:
        """Return what adds up to the sum: windows of the powers of two in the count, end to end."""
        count, width, offset, pieces = self.count, 1, 0, []
        while count:
            if count & 1:
                pieces.append(window.narrow(axis, offset, n))
                offset += width
            count >>= 1
            if count:
                length = window.shape[axis] - width
                sides = [(1.0, window.narrow(axis, i, length)) for i in (0, width)]
                window = program.take(sides[0][1].shape)
                _accumulate(program, sides, window)
                width *= 2
        return pieces


Terms = Sequence[tuple[float, Any]]


def _accumulate(program: Program, terms: Terms, out: torch.Tensor, scale: float = 1.0) -> None:
    """Have a weighted sum, times `scale`, written to `out`, which may have gaps between its rows."""
    import torch

    if len(terms) == 1:
        (weight, term) = terms[0]
        program.do(lambda: torch.mul(term, weight * scale, out=out))
        return
    total, (weight, last) = _all_but_last(program, terms), terms[-1]
    program.do(lambda: torch.add(total, last, alpha=weight, out=out))
    if scale != 1.0:
        program.do(lambda: out.mul_(scale))


def _all_but_last(program: Program, terms: Terms) -> torch.Tensor:
    """Return where the sum of all terms but the last will stand."""
    import torch

    (weight, first), *others = terms[:-1]
    if weight == 1.0 and not others:
        return first
    total = program.take(first.shape)
    if weight == 1.0:
        (w, second), *others = others
        program.do(lambda: torch.add(first, second, alpha=w, out=total))
    else:
        program.do(lambda: torch.mul(first, weight, out=total))
    for factor, term in others:
        program.do(lambda t=term, a=factor: total.add_(t, alpha=a))  # type: ignore[misc]
    return total


def _shifts(x: torch.Tensor, places: Sequence[tuple[int, float]]) -> Terms:
    """Return weights and shifts of x as one line of numbers; the last place is the furthest."""
    line = x.view(-1)
    length = len(line) - places[-1][0]
    return [(w, line[place : place + length]) for place, w in places]


def _finish(
    program: Program, terms: Terms, x: torch.Tensor, shape: Sequence[int], scale: float = 1.0
) -> None:
    """Have a weighted sum of shifts of x, each one line of numbers without gaps, written to the result.

    The rows of x are longer than those of the result: what wraps from one row into the next
    ends in the columns that are left out.
    """
    import torch

    def cut(line: torch.Tensor) -> torch.Tensor:
        return line.as_strided(tuple(shape), x.stride(), line.storage_offset())

    weight, last = terms[-1][0], cut(terms[-1][1])
    if len(terms) == 1:
        program.do_last(lambda out: torch.mul(last, weight * scale, out=out))
        return
    total = cut(_all_but_last(program, terms))
    program.do_last(lambda out: torch.add(total, last, alpha=weight, out=out))
    if scale != 1.0:
        program.do_last(lambda out: out.mul_(scale))


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
