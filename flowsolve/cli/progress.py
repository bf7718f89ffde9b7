"""The progress line of a run: objective, PSNR where known, evaluations, time left."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from ..stopping import Progress as RunProgress
from ..words import number
from .line import Line


class ProgressLine(Line):
    """A line on standard error while a run goes on; to be used in a ``with`` statement.

    Parameters
    ----------
    label : str
        What to write before the bar.
    max_iter : int
        Limit of iterations.
    max_evaluations, max_seconds : int, float, optional
        Further limits; the bar follows the one that is nearest.
    console : rich.console.Console, optional
        Where to write, by default standard error.
    """

    def __init__(
        self,
        label: str,
        max_iter: int,
        max_evaluations: int | None = None,
        max_seconds: float | None = None,
        console: Console | None = None,
    ) -> None:
        self.max_iter, self.max_evaluations, self.max_seconds = max_iter, max_evaluations, max_seconds
        super().__init__(label, console, refresh_per_second=4)

    def update(self, progress: RunProgress) -> None:
        """Show the state after an iteration."""
        evaluations = float(np.mean(progress.evaluations))
        state = f"{progress.iteration}/{self.max_iter}  F {np.mean(progress.value):.6g}"
        if progress.psnr is not None:
            state += f"  PSNR {number(np.mean(progress.psnr))} dB"
        state += f"  {evaluations:.0f} evals"
        done = [progress.iteration / self.max_iter] if self.max_iter else [1.0]
        if self.max_evaluations:
            done.append(evaluations / self.max_evaluations)
        if self.max_seconds:
            done.append(progress.seconds / self.max_seconds)
        finished = progress.n_active == 0
        self._bar.update(self._line, completed=1.0 if finished else min(max(done), 1.0), state=state)
