"""Extending images beyond their edges, and the exact adjoint of doing so.

Names are torch's: ``reflect`` mirrors about the edge pixel without repeating it,
``replicate`` repeats the edge pixel, ``circular`` wraps around, ``zero`` pads zeros.
"""

from __future__ import annotations

from ..arrays import Array, namespace
from ..errors import ArgumentError

BOUNDARIES = ("circular", "zero", "reflect", "replicate")


def check_boundary(boundary: str) -> str:
    """Return `boundary` if it is a known name.

    Raises
    ------
    ArgumentError
        If it is not.
    """
    if boundary not in BOUNDARIES:
        raise ArgumentError("boundary", repr(boundary), ", ".join(BOUNDARIES))
    return boundary


def _cut(x: Array, axis: int, start: int, stop: int) -> Array:
    """Return ``x[start:stop]`` along axis -1 or -2."""
    return x[..., start:stop] if axis == -1 else x[..., start:stop, :]


def _zeros(x: Array, axis: int, n: int) -> Array:
    shape = list(x.shape)
    shape[axis] = n
    return namespace(x).zeros(tuple(shape), dtype=x.dtype, device=x.device)


def _place(part: Array, axis: int, start: int, length: int) -> Array:
    """Return `part` at position `start` of zeros of the given length along `axis`."""
    after = length - start - part.shape[axis]
    pieces = [_zeros(part, axis, start), part, _zeros(part, axis, after)]
    return namespace(part).concat(pieces, axis=axis)


def _check(n: int, before: int, after: int, boundary: str) -> None:
    limit = {"circular": n, "reflect": n - 1}.get(boundary)
    if min(before, after) < 0 or (limit is not None and max(before, after) > limit):
        raise ArgumentError("pad", (before, after), f"from 0 to {limit} on a side of {n}, for {boundary}")


def _pad_axis(x: Array, axis: int, before: int, after: int, boundary: str) -> Array:
    n = x.shape[axis]
    _check(n, before, after, boundary)
    if before == after == 0:
        return x
    xp = namespace(x)
    if boundary == "zero":
        return _place(x, axis, before, n + before + after)
    if boundary == "circular":
        front, back = _cut(x, axis, n - before, n), _cut(x, axis, 0, after)
    elif boundary == "reflect":
        front = xp.flip(_cut(x, axis, 1, before + 1), axis=axis)
        back = xp.flip(_cut(x, axis, n - 1 - after, n - 1), axis=axis)
    else:
        front = _cut(x, axis, 0, 1) + _zeros(x, axis, before)
        back = _cut(x, axis, n - 1, n) + _zeros(x, axis, after)
    return xp.concat([front, x, back], axis=axis)


def _pad_axis_adjoint(z: Array, axis: int, before: int, after: int, boundary: str) -> Array:
    if before == after == 0:
        return z
    n = z.shape[axis] - before - after
    _check(n, before, after, boundary)
    xp = namespace(z)
    core = _cut(z, axis, before, before + n)
    if boundary == "zero":
        return core
    front, back = _cut(z, axis, 0, before), _cut(z, axis, before + n, before + n + after)
    if boundary == "circular":
        at_front, at_back = n - before, 0
    elif boundary == "reflect":
        front, back = xp.flip(front, axis=axis), xp.flip(back, axis=axis)
        at_front, at_back = 1, n - 1 - after
    else:
        front, back = xp.sum(front, axis=axis, keepdims=True), xp.sum(back, axis=axis, keepdims=True)
        at_front, at_back = 0, n - 1
    return core + _place(front, axis, at_front, n) + _place(back, axis, at_back, n)


def pad(x: Array, rows: tuple[int, int], columns: tuple[int, int], boundary: str) -> Array:
    """Return images extended beyond their edges.

    Parameters
    ----------
    x : array
        Shape ``(..., H, W)``.
    rows, columns : (int, int)
        How far to extend before and after; at most H (``circular``) or H − 1 (``reflect``).
    boundary : {"circular", "zero", "reflect", "replicate"}
        What to fill in.

    Returns
    -------
    array
        Shape ``(..., H + sum(rows), W + sum(columns))``; `x` itself where nothing is added.

    Raises
    ------
    ArgumentError
        If the image is too small for the extension.
    """
    check_boundary(boundary)
    return _pad_axis(_pad_axis(x, -2, *rows, boundary), -1, *columns, boundary)


def pad_adjoint(z: Array, rows: tuple[int, int], columns: tuple[int, int], boundary: str) -> Array:
    """Return the adjoint of :func:`pad`: every padded pixel is added where it came from.

    Parameters
    ----------
    z : array
        Shape ``(..., H + sum(rows), W + sum(columns))``.
    rows, columns, boundary
        As for :func:`pad`.

    Returns
    -------
    array
        Shape ``(..., H, W)``.
    """
    check_boundary(boundary)
    return _pad_axis_adjoint(_pad_axis_adjoint(z, -1, *columns, boundary), -2, *rows, boundary)
