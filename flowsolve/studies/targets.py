"""What a method has to reach on a problem, and what it paid until it did."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ArgumentError
from ..report.compare import AXES
from .curves import METHOD, Curve
from .extras import require
from .index import MEASUREMENT, OBJECTIVE, Index
from .parameters import operator_label

if TYPE_CHECKING:
    import pandas


class Target(ABC):
    """What counts as having solved a problem.

    Attributes
    ----------
    problem : tuple of str
        Columns in which the rows of a problem agree.
    """

    problem: ClassVar[tuple[str, ...]]

    @abstractmethod
    def level(self, curves: Sequence[Curve]) -> float:
        """Return what has to be reached, from the curves of all methods on one problem."""

    @abstractmethod
    def reached(self, curve: Curve, level: float) -> np.ndarray:
        """Return at which iterations the level is reached, shape (K,), bool."""


@dataclass(frozen=True)
class ObjectiveGap(Target):
    """F is within `tau` of the lowest that was found: F(x₀) − F(x) ≥ (1 − tau) (F(x₀) − F_L).

    The test of convergence of J. J. Moré and S. M. Wild, "Benchmarking derivative-free optimization
    algorithms", SIAM J. Optim. 20(1), 2009, eq. (2.2), which does not depend on the units of F or on a
    constant added to it. F_L is the lowest F of all methods on the problem; F(x₀) is the lowest F at which
    one of them started, so that no start alone solves a problem that any method could improve.

    Parameters
    ----------
    tau : float
        In (0, 1): 0.01 is a rough solution, 1e-5 a close one.
    """

    tau: float = 1e-2
    problem: ClassVar[tuple[str, ...]] = OBJECTIVE

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tau) and 0 < self.tau < 1):
            raise ArgumentError("tau", self.tau, "a number > 0 and < 1")

    def level(self, curves: Sequence[Curve]) -> float:
        """Return the highest F that counts as solved."""
        lowest = min(curve.value[-1] for curve in curves)
        start = min(curve.value[0] for curve in curves)
        return float(lowest + self.tau * (start - lowest))

    def reached(self, curve: Curve, level: float) -> np.ndarray:
        """Return where F is at most the level."""
        return curve.value <= level


@dataclass(frozen=True)
class Decibels(Target):
    """The PSNR of an iterate is at least `least` dB, or at most `below` dB under the best that was seen.

    Here methods are compared that minimise different objectives: only the measurements are the same.

    Parameters
    ----------
    least : float, optional
        PSNR in dB.
    below : float, optional
        dB under the highest PSNR of all methods along their runs on the problem; either this or `least`.
    """

    least: float | None = None
    below: float | None = None
    problem: ClassVar[tuple[str, ...]] = MEASUREMENT

    def __post_init__(self) -> None:
        if (self.least is None) == (self.below is None):
            given = "neither" if self.least is None else "both"
            raise ArgumentError("least, below", given, "one of the two, in dB")
        if self.below is not None and not (math.isfinite(self.below) and self.below >= 0):
            raise ArgumentError("below", self.below, "a number of dB >= 0")
        if self.least is not None and not math.isfinite(self.least):
            raise ArgumentError("least", self.least, "a number of dB")

    def level(self, curves: Sequence[Curve]) -> float:
        """Return the PSNR that counts as solved."""
        if self.least is not None:
            return self.least
        assert self.below is not None
        return float(max(curve.psnr[-1] for curve in curves) - self.below)

    def reached(self, curve: Curve, level: float) -> np.ndarray:
        """Return where the PSNR is at least the level."""
        return curve.psnr >= level


@dataclass(frozen=True)
class CostTable:
    """What each method paid until it had solved each problem.

    Attributes
    ----------
    costs : pandas.DataFrame
        A row a problem, a column a method: the cost on the axis; infinite where the target was not reached or
        the run failed, NaN where the method was not tried. Of several runs (seeds) the median.
    levels : numpy.ndarray, shape (P,)
        What had to be reached.
    problems : list of dict
        What the problems are.
    axis : str
        The axis.
    """

    costs: pandas.DataFrame
    levels: np.ndarray
    problems: list[dict[str, Any]]
    axis: str

    @property
    def common(self) -> pandas.DataFrame:
        """The problems that every method was tried on: only on these can shares be compared."""
        return self.costs.dropna()

    def summary(self) -> pandas.DataFrame:
        """Return one row a method: problems tried and solved, costs, and how often it was the cheapest.

        Quartiles are over all problems it was tried on, with those not solved as infinitely dear. `cheapest`
        is the share of the common problems on which no other method paid less, of those somebody solved.
        """
        pandas = require("pandas")
        common = self.common
        lowest = common.min(axis=1)
        rows = []
        for method in self.costs:
            costs = self.costs[method].dropna().to_numpy()
            first, median, third = np.quantile(costs, (0.25, 0.5, 0.75), method="lower")
            wins = (common[method] <= lowest) & np.isfinite(lowest)
            rows.append(
                {
                    "method": method,
                    "problems": len(costs),
                    "solved": int(np.isfinite(costs).sum()),
                    "share": float(np.isfinite(costs).mean()),
                    "cost_q1": float(first),
                    "cost_median": float(median),
                    "cost_q3": float(third),
                    "cheapest": float(wins.mean()) if len(common) else math.nan,
                }
            )
        frame = pandas.DataFrame(rows)
        return frame.sort_values(["share", "cost_median"], ascending=[False, True], ignore_index=True)


def cost_to_target(
    curves: Sequence[Curve],
    target: Target,
    axis: str = "evaluations",
    methods: Sequence[str] = METHOD,
    index: Index | None = None,
) -> CostTable:
    """Return what each method paid until it reached the target on each problem.

    Parameters
    ----------
    curves : sequence of Curve
        Of `read_curves`, all or some.
    target : Target
        What has to be reached.
    axis : str
        Cost: ``iterations``, ``evaluations``, ``flow`` (network passes) or ``seconds``.
    methods : sequence of str
        Columns that tell methods apart. With `Decibels` usually also ``formulation`` and ``phi``.
    index : Index, optional
        Where given, runs that failed count as tried and not solved.

    Raises
    ------
    ArgumentError
        If there are no curves, an axis or column has another name, or PSNR is asked for without any truth.
    """
    pandas = require("pandas")
    if axis not in AXES:
        raise ArgumentError("axis", repr(axis), " or ".join(AXES))
    if not curves:
        raise ArgumentError("curves", "none", "one or more")
    groups: dict[tuple[Any, ...], list[Curve]] = {}
    for curve in curves:
        groups.setdefault(curve.key(target.problem), []).append(curve)
    labels = list(dict.fromkeys(curve.label(methods) for curve in curves))
    rows, levels, problems = [], [], []
    failed = _failures(index, methods)
    for key, own in groups.items():
        level = target.level(own)
        if math.isnan(level):
            continue
        row: dict[str, float] = {name: math.inf for name in failed.get(_loose(own[0].row), ())}
        for name in labels:
            paid = [_paid(c, target, level, axis) for c in own if c.label(methods) == name]
            if paid:
                row[name] = float(np.median(paid))
        rows.append(row)
        levels.append(level)
        problems.append(dict(zip(target.problem, key, strict=True)))
    if not rows:
        raise ArgumentError("target", target, "an ObjectiveGap: the truth of no image is known")
    names = list(dict.fromkeys([*labels, *(name for row in rows for name in row)]))
    return CostTable(pandas.DataFrame(rows, columns=names), np.array(levels), problems, axis)


def _paid(curve: Curve, target: Target, level: float, axis: str) -> float:
    reached = target.reached(curve, level)
    return float(curve.cost[axis][int(reached.argmax())]) if reached.any() else math.inf


#: What a failed cell's plan and a row of the table both know of a problem.
_KNOWN = ("task", "operator", "image", "prior", "formulation", "phi", "lam_given")


def _loose(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(str(row[name]) for name in _KNOWN)


def _failures(index: Index | None, methods: Sequence[str]) -> dict[tuple[Any, ...], list[str]]:
    """Return the methods that failed on each problem, as far as plans tell."""
    from .curves import label

    found: dict[tuple[Any, ...], list[str]] = {}
    for cause in index.failed if index is not None else ():
        cell = cause.get("parameters")
        if cell is None:
            continue
        for image in cell["images"]:
            row = {**cell, "image": image, "lam_given": cell["lam"]}
            row["operator"] = operator_label(cell.get("operator") or {})
            if all(name in row for name in methods):
                found.setdefault(_loose(row), []).append(label(row, methods))
    return found
