"""What the conformance checks return, and the small helpers that they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Report:
    """The outcome of one check.

    Attributes
    ----------
    name : str
        What was checked.
    passed : bool
        Whether it holds; also true where the check was skipped.
    expected, found : str
        What should have come out and what did.
    case : str
        On which data.
    skipped : bool
        Whether the check could not be made; `found` then says why.
    error : float or None
        The relative error found, where that is what was checked.
    """

    name: str
    passed: bool
    expected: str
    found: str
    case: str
    skipped: bool = False
    error: float | None = None

    def __str__(self) -> str:
        outcome = "skip" if self.skipped else "pass" if self.passed else "FAIL"
        return f"{outcome} {self.name} [{self.case}]: expected {self.expected}, found {self.found}"


def random_images(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Return standard normal values; asymmetric data show what symmetric data hide."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return ‖found − expected‖ / ‖expected‖, absolute where that is zero; inf for NaN."""
    if found.shape != expected.shape:
        return float("inf")
    scale = float(np.linalg.norm(expected)) or 1.0
    error = float(np.linalg.norm(np.asarray(found, dtype=np.float64) - expected)) / scale
    return error if np.isfinite(error) else float("inf")
