"""Arithmetic of numbers that may be infinite, as PSNR is of an image without error.

No NaN where there is an answer, and no warning.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def difference(a: Any, b: Any) -> np.ndarray:
    """Return a − b, 0 where both are the same infinity; NaN where one of them is."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


def span(values: Any) -> float:
    """Return the largest of some numbers less the smallest; NaN where one is."""
    values = np.asarray(values, dtype=np.float64)
    return float(difference(values.max(), values.min()))


def median(values: Any, axis: int | None = None) -> Any:
    """Return the median; NaN where one is, and halfway between the two infinities."""
    with np.errstate(invalid="ignore"):
        return np.median(np.asarray(values, dtype=np.float64), axis=axis)


def quantiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Return quantiles: interpolated between finite numbers, one of the numbers where some are not."""
    if np.isfinite(values).all():
        return np.quantile(values, shares)
    if np.isnan(values).any():
        return np.full(len(shares), math.nan)
    places = np.rint(np.asarray(shares) * (values.size - 1)).astype(int)
    return np.sort(values, axis=None)[places]


def deviation(values: Any) -> float:
    """Return the population standard deviation: 0 of equal values, also if infinite; NaN if others are."""
    values = np.asarray(values, dtype=np.float64)
    if np.isfinite(values).all():
        return float(np.std(values))
    return 0.0 if (values == values.flat[0]).all() else math.nan
