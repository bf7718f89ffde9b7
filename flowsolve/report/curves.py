"""Convergence curves thinned to what a page can hold: means of runs, and each image where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import RecordError
from ..recording.earlier import values_of_last_stage
from ..studies.index import RunEntry
from ..studies.rows import PASSES
from .packing import pack

#: What a point of a curve holds beside its iteration: costs first, then what is plotted against them.
#: ``gap`` is F above the lowest F that any of the runs reached on the same problem.
COLUMNS = ("evaluations", "seconds", "flow", "gap", "psnr", "data_fidelity", "grad_norm")

#: Most points of a curve.
POINTS = 100

#: Fewest points of an image's curve that are worth a look; with room for fewer, only means are kept.
FEWEST = 8

#: Most bytes of the curves of single images, before base64.
ROOM = 4_500_000


@dataclass
class Curve:
    """A run's thinned curves.

    Attributes
    ----------
    iteration : numpy.ndarray, shape (K,)
        Iterations that were kept.
    columns : numpy.ndarray, shape (N, len(COLUMNS) + metrics, K), float64
        F in the place of ``gap`` until the lowest is known.
    lowest : numpy.ndarray, shape (N,)
        Lowest F of each image along the whole run.
    """

    iteration: np.ndarray
    columns: np.ndarray
    lowest: np.ndarray


def read_curve(entry: RunEntry, metrics: tuple[str, ...] = ()) -> Curve | None:
    """Return the curves of a run, or None where there is nothing to draw yet.

    Parameters
    ----------
    entry : RunEntry
        The run.
    metrics : tuple of str
        Columns of the trace that come after `COLUMNS`.
    """
    try:
        trace = entry.trace
    except RecordError:
        return None
    if not trace or not len(trace["iteration"]):
        return None
    value = values_of_last_stage(trace)
    names = {"gap": value, "flow": sum(trace[name] for name in PASSES)}
    unknown = np.full(value.shape, np.nan)
    columns = [names.get(name, trace.get(name, unknown)) for name in (*COLUMNS, *metrics)]
    # The best points must not fall between those that are kept.
    must = {int(np.nan_to_num(value.mean(1), nan=np.inf).argmin())}
    if "psnr" in trace:
        must.add(int(np.nan_to_num(trace["psnr"].mean(1), nan=-np.inf).argmax()))
    kept = thin(len(value), POINTS, must)
    lowest = np.where(np.isnan(value), np.inf, value).min(0)
    stack = np.stack(columns).astype(np.float64)[:, kept]
    return Curve(trace["iteration"][kept], stack.transpose(2, 0, 1), lowest)


def thin(length: int, most: int, must: set[int] | None = None) -> np.ndarray:
    """Return which of `length` points to keep: even and logarithmic spacing mixed, for both kinds of axis.

    Parameters
    ----------
    length : int
        Number of points.
    most : int
        How many to keep, about; at least 2.
    must : set of int, optional
        Points to keep in any case; first and last always are.

    Returns
    -------
    numpy.ndarray of int
        Ascending, without repetition.
    """
    if length <= most:
        return np.arange(length)
    must = {0, length - 1, *(must or ())}
    even = np.linspace(0, length - 1, max(2, most // 2))
    logarithmic = np.geomspace(1, length, max(2, most - most // 2 - len(must))) - 1
    kept = np.concatenate([even, logarithmic]).round().astype(int)
    return np.unique(np.concatenate([kept, sorted(must)]))


def pack_curves(
    curves: Sequence[Curve | None], lowest: Sequence[np.ndarray], metrics: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return all curves for the page.

    Parameters
    ----------
    curves : sequence of Curve or None
        One a run.
    lowest : sequence of numpy.ndarray, shape (N,)
        For each run, the lowest F of any run on each of its problems.
    metrics : tuple of str
        As for `read_curve`.

    Returns
    -------
    dict
        ``columns``; ``means`` and ``images``, each with ``points`` (K of each run, 0 for none) and ``data``:
        for each run its K iterations, then (1 or N, columns, K) values.
    """
    floors = [np.where(np.isfinite(floor), floor, 0.0)[:, None] for floor in lowest]
    place = COLUMNS.index("gap")
    means: list[tuple[np.ndarray, np.ndarray] | None] = []
    single: list[tuple[np.ndarray, np.ndarray] | None] = []
    each = _points_of_an_image(curves)
    for curve, floor in zip(curves, floors, strict=True):
        if curve is None:
            means.append(None)
            single.append(None)
            continue
        columns = curve.columns.copy()
        columns[:, place] -= floor
        means.append((curve.iteration, columns.mean(0, keepdims=True)))
        kept = thin(len(curve.iteration), each) if each >= FEWEST and len(columns) > 1 else None
        single.append(None if kept is None else (curve.iteration[kept], columns[:, :, kept]))
    return {"columns": [*COLUMNS, *metrics], "means": _block(means), "images": _block(single)}


def _points_of_an_image(curves: Sequence[Curve | None]) -> int:
    """Return how many points each image's curve may have, so that all of them fit in the room."""
    numbers = sum(curve.columns.shape[0] * curve.columns.shape[1] for curve in curves if curve is not None)
    return min(POINTS, ROOM // max(1, numbers * 4))


def _block(blocks: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> dict[str, Any]:
    points = [0 if block is None else len(block[0]) for block in blocks]
    parts = [np.concatenate([b[0].ravel(), b[1].ravel()]) for b in blocks if b is not None]
    return {"points": pack(points, "u2"), "data": pack(np.concatenate(parts) if parts else [], "f4")}
