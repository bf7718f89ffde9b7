"""Roots of many increasing functions of one variable at once, each with its own bracket.

SciPy's root finders call a function of one root; here a call is a whole minimisation of a batch, so all
roots are asked for together: the search says where it wants each function next, and is told the values.
"""

from __future__ import annotations

import numpy as np


class BracketedSearch:
    """Search for the roots of increasing functions: expand until the sign changes, then ITP.

    ITP (Oliveira & Takahashi, "An enhancement of the bisection method average performance preserving minmax
    optimality", ACM TOMS 47, 2020) takes the regula falsi, moved towards the middle and held so near it that
    one step more than bisection takes is always enough; κ₁ = 0.2 / (b − a), κ₂ = 2, n₀ = 1.

    Parameters
    ----------
    start : numpy.ndarray, shape (N,)
        First points.
    stride : float
        First step of the expansion; each further one is as long.
    width : float
        Width of a bracket at which its search ends.
    reach : float
        Distance from the first point beyond which the expansion gives up.

    Attributes
    ----------
    point : numpy.ndarray, shape (N,)
        Where each function is wanted next; where its search has ended, the point of its least value.
    done : numpy.ndarray, shape (N,), bool
        Searches that have ended.
    """

    def __init__(self, start: np.ndarray, *, stride: float, width: float, reach: float) -> None:
        self.start, self.stride, self.width, self.reach = start, stride, width, reach
        self.point = start.astype(np.float64).copy()
        n = len(start)
        self.done = np.zeros(n, dtype=bool)
        self.best = np.full(n, np.inf)
        self._kept = self.point.copy()
        self._low, self._high = np.full(n, -np.inf), np.full(n, np.inf)
        self._f_low, self._f_high = np.full(n, np.nan), np.full(n, np.nan)
        self._extent, self._steps = np.full(n, np.nan), np.zeros(n, dtype=int)

    def tell(self, values: np.ndarray, tolerance: float) -> None:
        """Take the functions' values at `point` (those of ended searches are ignored) and move the points on.

        Parameters
        ----------
        values : numpy.ndarray, shape (N,)
            Function values.
        tolerance : float
            A search ends at a value no further than this from 0.
        """
        for i in np.flatnonzero(~self.done):
            self._tell(i, float(values[i]), tolerance)
        self.point = np.where(self.done, self._kept, self.point)

    def _tell(self, i: int, value: float, tolerance: float) -> None:
        point = self.point[i]
        if abs(value) < self.best[i]:
            self.best[i], self._kept[i] = abs(value), point
        if value < 0:
            self._low[i], self._f_low[i] = point, value
        else:
            self._high[i], self._f_high[i] = point, value
        width = self._high[i] - self._low[i]
        if abs(value) <= tolerance or width <= self.width:
            self.done[i] = True
        elif np.isfinite(width):
            self.point[i] = self._inside(i)
        else:
            self.point[i] = point + (self.stride if value < 0 else -self.stride)
            self.done[i] = abs(self.point[i] - self.start[i]) > self.reach

    def _inside(self, i: int) -> float:
        a, b, fa, fb = self._low[i], self._high[i], self._f_low[i], self._f_high[i]
        if self._steps[i] == 0:
            self._extent[i] = b - a
        half = self.width / 2
        bisections = np.ceil(np.log2(max(self._extent[i] / self.width, 1.0))) + 1
        middle = (a + b) / 2
        falsi = (fb * a - fa * b) / (fb - fa)
        toward = np.sign(middle - falsi)
        shift = min(0.2 * (b - a) ** 2 / self._extent[i], abs(middle - falsi))
        moved = falsi + toward * shift
        radius = max(0.0, half * 2.0 ** (bisections - self._steps[i]) - (b - a) / 2)
        self._steps[i] += 1
        return float(moved if abs(moved - middle) <= radius else middle - toward * radius)
