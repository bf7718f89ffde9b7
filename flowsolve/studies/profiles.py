"""Performance profiles and data profiles: which share of the problems a method solves, and at what price.

A performance profile compares each method with the cheapest one on the problem, so that easy and hard
problems count alike; a data profile says what a budget buys. Of more than two methods a performance profile
only says who is the fastest and how often each succeeds: the order of the others may change once the best one
is left out (N. Gould and J. Scott, ACM Trans. Math. Softw. 43(2), 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from .targets import CostTable


@dataclass(frozen=True)
class Profile:
    """Shares of problems, as step functions that are continuous from the right.

    Attributes
    ----------
    kind : {"performance", "data"}
        What the abscissa is: a ratio to the cheapest method's cost, or a cost.
    axis : str
        Axis of the cost.
    x : numpy.ndarray, shape (T,)
        Where a step may be, ascending.
    share : dict of str to numpy.ndarray, shape (T,)
        Share in [0, 1] of each method from x[i] up to x[i + 1].
    problems : int
        Number of problems, those that every method was tried on.
    """

    kind: str
    axis: str
    x: np.ndarray
    share: dict[str, np.ndarray]
    problems: int

    def at(self, x: float) -> dict[str, float]:
        """Return the share of each method at an abscissa."""
        place = int(np.searchsorted(self.x, x, side="right")) - 1
        return {name: float(share[place]) if place >= 0 else 0.0 for name, share in self.share.items()}


def performance_profile(table: CostTable) -> Profile:
    """Return the performance profile ρ_s(t): on which share of the problems s pays at most t times the least.

    E. D. Dolan and J. J. Moré, "Benchmarking optimization software with performance profiles", Math. Program.
    91, 2002, section 2. A method that did not solve a problem has an infinite ratio there, and so has
    everybody on a problem that nobody solved. ρ_s(1) is how often s was the cheapest, ties counted for each;
    its limit is how often s succeeded. A cost of 0 counts as the smallest positive one of the table.

    Raises
    ------
    ArgumentError
        If there is no problem that every method was tried on.
    """
    costs = _common(table)
    positive = costs[np.isfinite(costs) & (costs > 0)]
    costs = np.maximum(costs, positive.min() if positive.size else 1.0)
    least = costs.min(axis=1, keepdims=True)
    ratios = np.where(np.isfinite(costs), costs / np.where(np.isfinite(least), least, 1.0), np.inf)
    return _profile("performance", table, ratios, first=1.0)


def data_profile(table: CostTable, unit: float | np.ndarray = 1.0) -> Profile:
    """Return the data profile d_s(κ): the share of problems that method s solves for at most κ units of cost.

    J. J. Moré and S. M. Wild, SIAM J. Optim. 20(1), 2009, section 2, where the unit of problem p is n_p + 1
    evaluations, a simplex gradient in n_p unknowns. With gradients at hand an evaluation is the natural unit,
    so `unit` is 1 unless given.

    Parameters
    ----------
    table : CostTable
        What each method paid.
    unit : float or numpy.ndarray, shape (P,)
        Cost that counts as one, of all problems or of each that every method was tried on.

    Raises
    ------
    ArgumentError
        If there is no problem that every method was tried on, or a unit is not > 0.
    """
    costs = _common(table)
    units = np.broadcast_to(np.asarray(unit, dtype=np.float64), len(costs))
    if not (np.isfinite(units).all() and (units > 0).all()):
        raise ArgumentError("unit", unit, "numbers > 0")
    return _profile("data", table, costs / units[:, None], first=0.0)


def _common(table: CostTable) -> np.ndarray:
    costs = table.common.to_numpy(dtype=np.float64)
    if not len(costs):
        raise ArgumentError("table", "no problem that every method was tried on", "one or more such problems")
    return costs


def _profile(kind: str, table: CostTable, values: np.ndarray, first: float) -> Profile:
    x = np.unique(np.append(values[np.isfinite(values)], first))
    share = {
        name: np.searchsorted(np.sort(values[:, i]), x, side="right") / len(values)
        for i, name in enumerate(table.costs)
    }
    return Profile(kind, table.axis, x, share, len(values))
