"""When what happens: the learning rate over the time there is, and what is due every few minutes."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_UP = 0.02
"""Share of the run over which the learning rate rises."""


@dataclass(frozen=True)
class Schedule:
    """Learning rate as a function of the share of the run that is over.

    A share of the time and not a number of steps, so that it ends at 0 when the time is up,
    however fast the machine is.

    Parameters
    ----------
    lr : float
        Largest learning rate.
    kind : {"linear", "cosine"}
        How it falls to 0 after the warm-up.
    warm_up : float
        Share of the run over which it rises from 0.
    """

    lr: float
    kind: str = "linear"
    warm_up: float = WARM_UP

    def at(self, progress: float) -> float:
        """Return the learning rate at `progress`, from 0 (start) to 1 (end)."""
        progress = min(max(progress, 0.0), 1.0)
        if progress < self.warm_up:
            # Not quite 0 at the start: a step that does nothing would be lost.
            return self.lr * (0.05 + 0.95 * progress / self.warm_up)
        rest = (1 - progress) / (1 - self.warm_up)
        return self.lr * (rest if self.kind == "linear" else 0.5 - 0.5 * math.cos(math.pi * rest))


def run_progress(seconds: float, budget: float, step: int, max_updates: int | None) -> float:
    """Return how much of a run is over, 1 or more at its end, by time and by steps.

    Parameters
    ----------
    seconds, budget : float
        Time spent, and time there is.
    step : int
        Steps done.
    max_updates : int or None
        Steps there are.
    """
    by_steps = 0.0 if max_updates is None else step / max_updates
    return max(seconds / budget, by_steps)


class Every:
    """Tells when something that happens at intervals is due.

    Parameters
    ----------
    minutes : float
        Interval.
    budget : float
        Seconds the run has; the interval is at most this over `parts`.
    parts : int
        Least number of times in a run.
    """

    def __init__(self, minutes: float, budget: float, parts: int) -> None:
        self.interval = min(60 * minutes, budget / parts)
        self._last = 0.0

    def due(self, seconds: float) -> bool:
        """Tell whether the interval is over at `seconds`; if so the next one begins."""
        if seconds - self._last < self.interval:
            return False
        self.restart(seconds)
        return True

    def restart(self, seconds: float) -> None:
        """Begin an interval at `seconds`."""
        self._last = seconds
