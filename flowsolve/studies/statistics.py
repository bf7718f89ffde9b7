"""Small-sample statistics that the answers of a study share."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from ..infinite import median, quantiles

#: Resamples of a bootstrap interval; its ends are then good to about a hundredth of its width.
RESAMPLES = 2000

#: Probability that an interval covers.
CONFIDENCE = 0.95


def bootstrap_interval(
    values: np.ndarray, statistic: Callable[..., np.ndarray] = median, *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a statistic (Efron & Tibshirani, 1993, chapter 13).

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
        Independent values, one an image.
    statistic : callable
        Takes an array and an ``axis``.
    seed : int
        Seed of the resampling.

    Returns
    -------
    (float, float)
        Both NaN with fewer than two values.
    """
    if len(values) < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    draws = values[generator.integers(len(values), size=(RESAMPLES, len(values)))]
    tail = (1 - CONFIDENCE) / 2
    low, high = quantiles(statistic(draws, axis=1), (tail, 1 - tail))
    return float(low), float(high)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation, NaN with fewer than three pairs or where one side is constant."""
    if len(a) < 3 or (a == a[0]).all() or (b == b[0]).all():
        return math.nan
    return float(stats.spearmanr(a, b).statistic)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number (S. Holm, Scand. J. Statist. 6, 1979).

    Parameters
    ----------
    p : numpy.ndarray, shape (m,)
        p-values; NaN ones stay so and do not count.
    """
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p) if not np.isnan(p[i])]
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, float(p[i]) * (len(order) - rank)))
        corrected[i] = highest
    return corrected


def rank_biserial(differences: np.ndarray) -> float:
    """Return the matched-pairs rank-biserial correlation, (R⁺ − R⁻)/(R⁺ + R⁻), in [−1, 1].

    D. S. Kerby, "The simple difference formula", Comprehensive Psychology 3, 2014. R⁺ and R⁻ are the sums of
    the ranks of |d| over positive and negative differences; differences of 0 are left out, as by the test.
    """
    d = differences[differences != 0]
    if not len(d):
        return 0.0
    ranks = stats.rankdata(np.abs(d))
    return float((ranks[d > 0].sum() - ranks[d < 0].sum()) / ranks.sum())


def too_few(pairs: int, tests: int, level: float) -> bool:
    """Return whether no outcome of so many tests by `signed_rank` on so many pairs could be below a level.

    All differences of one sign have the probability 2^(1 − pairs), which Holm's correction multiplies by
    the number of tests for the first of them.
    """
    return tests > 0 and 2.0 ** (1 - pairs) * tests >= level


def signed_rank(differences: np.ndarray) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945).

    Exact where SciPy can make it so (few pairs, no ties); 1 where all differences are 0, NaN without any.
    """
    d = differences[differences != 0]
    if not len(differences):
        return math.nan
    return float(stats.wilcoxon(d).pvalue) if len(d) else 1.0
