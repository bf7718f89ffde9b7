"""The curves of a study: F and PSNR of every image along its run, against what the run had cost by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..recording.earlier import values_of_last_stage
from ..report.compare import AXES, cost_of
from .index import OBJECTIVE, Index

#: What tells the methods of a study apart that minimise one objective, unless something else is asked for.
METHOD = ("solver", "start")


@dataclass(frozen=True)
class Curve:
    """What a run did to one image.

    Attributes
    ----------
    row : dict
        The image's row of the table.
    value, psnr : numpy.ndarray, shape (K,)
        Lowest F and highest PSNR (dB) up to each iteration, the start first; PSNR is NaN where the truth is
        not known. Of a method F is that of the last stage, and before it the one at which it starts.
    cost : dict of str to numpy.ndarray, shape (K,)
        Cost up to each iteration, on each axis of `flowsolve.report.compare.AXES`.
    """

    row: dict[str, Any]
    value: np.ndarray
    psnr: np.ndarray
    cost: dict[str, np.ndarray]

    def label(self, columns: Sequence[str]) -> str:
        """Return what columns of the row say, in one line."""
        return label(self.row, columns)

    def key(self, columns: Sequence[str] = OBJECTIVE) -> tuple[Any, ...]:
        """Return the values of columns, those that are missing as None, so that keys can be compared."""
        values = (self.row[name] for name in columns)
        return tuple(None if isinstance(v, float) and np.isnan(v) else v for v in values)


def read_curves(index: Index) -> list[Curve]:
    """Return the curves of all images of all runs, in the order of the table; every record is read once.

    Runs without an iteration yet have none.
    """
    curves = []
    rows = {run: own.to_dict("records") for run, own in index.table.groupby("run", sort=False)}
    for entry in index.runs:
        record = entry.record()
        trace = record.trace
        if not trace or not len(trace["value"]):
            continue
        costs = {axis: cost_of(record, axis) for axis in AXES}
        value = values_of_last_stage(trace)
        value = np.fmin.accumulate(np.where(np.isnan(value), value[_first_row(value)], value))
        psnr = np.fmax.accumulate(trace["psnr"]) if "psnr" in trace else np.full(value.shape, np.nan)
        for i, row in enumerate(rows[entry.id]):
            # What comes after the image has ended only repeats its last values.
            stop = int(np.searchsorted(trace["seconds"][:, i], trace["seconds"][-1, i])) + 1
            own = {axis: cost[:stop, i].copy() for axis, cost in costs.items()}
            curves.append(Curve(row, value[:stop, i].copy(), psnr[:stop, i].copy(), own))
    return curves


def _first_row(value: np.ndarray) -> int:
    """Return the first row that has values: where the last stage starts."""
    return int(np.isfinite(value).any(axis=1).argmax())


def label(row: dict[str, Any], columns: Sequence[str]) -> str:
    """Return what columns of a row say, in one line: ``lbfgs from zeros``."""
    if not columns:
        raise ArgumentError("methods", "no column", "names of columns of the table")
    for name in columns:
        if name not in row:
            raise ArgumentError("methods", repr(name), "names of columns of the table: " + ", ".join(row))
    words = {"start": "from {}", "lam_given": "lam={}", "lam": "lam={:g}", "seed": "seed {}"}
    # A method has no start and no weight of its own.
    return " ".join(words.get(name, "{}").format(row[name]) for name in columns if row[name] != "")
