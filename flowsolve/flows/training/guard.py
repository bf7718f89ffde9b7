"""Keeps a run alive when a step's loss or gradient is no number: skip, then roll back."""

from __future__ import annotations

import math
from enum import Enum

JUMP = 8.0
"""Bits a dimension that a step's loss may lie above the recent ones."""


class Verdict(Enum):
    """What to do with a step."""

    TAKE = "take"
    SKIP = "skip"
    ROLL_BACK = "roll back"


class Guard:
    """Judges steps by their loss and gradient.

    Parameters
    ----------
    patience : int
        Bad steps in a row at which to roll back.
    """

    def __init__(self, patience: int = 5) -> None:
        self.patience = patience
        self._bad = 0
        self._recent: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether the latest step was a good one."""
        return self._bad == 0

    def judge(self, loss: float, grad_norm: float) -> Verdict:
        """Return what to do with a step of this loss (bits a dimension) and gradient norm."""
        high = self._recent is not None and loss > self._recent + JUMP
        if math.isfinite(loss) and math.isfinite(grad_norm) and not high:
            self._bad = 0
            self._recent = loss if self._recent is None else 0.95 * self._recent + 0.05 * loss
            return Verdict.TAKE
        self._bad += 1
        if self._bad < self.patience:
            return Verdict.SKIP
        self._bad = 0
        return Verdict.ROLL_BACK
