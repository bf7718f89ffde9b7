"""What each run paid until each image had reached a target: what the page computes its profiles from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..studies.curves import Curve
from ..studies.targets import Decibels, ObjectiveGap, Target
from .compare import AXES
from .packing import pack

#: What may have to be reached, and how the page calls it.
TARGETS: tuple[tuple[str, Target], ...] = (
    ("F within 10 % of the way to the lowest", ObjectiveGap(1e-1)),
    ("F within 1 %", ObjectiveGap(1e-2)),
    ("F within 0.1 %", ObjectiveGap(1e-3)),
    ("F within 0.01 %", ObjectiveGap(1e-4)),
    ("PSNR within 1 dB of the highest", Decibels(below=1.0)),
    ("PSNR within 0.3 dB of the highest", Decibels(below=0.3)),
)


def pack_targets(
    curves: Sequence[Curve | None], problems: dict[tuple[str, ...], np.ndarray]
) -> dict[str, Any]:
    """Return costs to target for the page.

    Parameters
    ----------
    curves : sequence of Curve or None
        One a row of the index's table; None where nothing is recorded yet.
    problems : dict of tuple of str to numpy.ndarray, shape (rows,), int
        Problem of each row, for the columns in which the rows of a target's problem agree.

    Returns
    -------
    dict
        ``targets``, each with its ``label`` and whether its problems are of the ``objective``; ``axes``;
        ``cost``, (targets, axes, rows): infinite where not reached, NaN where the target means nothing.
    """
    cost = np.full((len(TARGETS), len(AXES), len(curves)), np.nan)
    groups = {columns: _groups(problem) for columns, problem in problems.items()}
    for t, (_, target) in enumerate(TARGETS):
        for rows in groups[target.problem]:
            own = {int(row): curve for row in rows if (curve := curves[row]) is not None}
            if not own:
                continue
            level = target.level(list(own.values()))
            if np.isnan(level):
                continue
            for row, curve in own.items():
                reached = target.reached(curve, level)
                first = int(reached.argmax())
                paid = [curve.cost[axis][first] for axis in AXES]
                cost[t, :, row] = paid if reached[first] else np.inf
    described = [{"label": label, "objective": isinstance(target, ObjectiveGap)} for label, target in TARGETS]
    return {"targets": described, "axes": list(AXES), "cost": pack(cost, "f4")}


def _groups(problem: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each problem."""
    order = np.argsort(problem, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(problem[order])) + 1) if len(order) else []
