"""The progress line of a run: objective, PSNR where known, evaluations, time left."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..stopping import Progress as RunProgress


class ProgressLine:
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
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(compact=True),
            console=console or Console(stderr=True),
            refresh_per_second=4,
        )
        self._line = self._bar.add_task(label, total=1.0, state="starting")

    def __enter__(self) -> ProgressLine:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, progress: RunProgress) -> None:
        """Show the state after an iteration."""
        evaluations = float(np.mean(progress.evaluations))
        state = f"{progress.iteration}/{self.max_iter}  F {np.mean(progress.value):.6g}"
        if progress.psnr is not None:
            state += f"  PSNR {np.mean(progress.psnr):.2f} dB"
        state += f"  {evaluations:.0f} evals"
        done = [progress.iteration / self.max_iter] if self.max_iter else [1.0]
        if self.max_evaluations:
            done.append(evaluations / self.max_evaluations)
        if self.max_seconds:
            done.append(progress.seconds / self.max_seconds)
        finished = progress.n_active == 0
        self._bar.update(self._line, completed=1.0 if finished else min(max(done), 1.0), state=state)
