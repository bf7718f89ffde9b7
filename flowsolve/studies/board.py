"""The progress board of a study: cells done, running, failed, and the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..terminal import console as make_console
from ..terminal import plain
from .cell import Outcome

#: Most cells that are listed while they run, and most failures.
LISTED = 8


class Board:
    """Shows how a study goes on: a board on a terminal, elsewhere a line for each cell that ends.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to write, by default standard error.
    silent : bool
        Whether to write nothing.
    clock : callable
        Seconds since some moment.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        silent: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = make_console(stderr=True) if console is None else console
        self.silent, self.clock = silent, clock
        self.total = self.before = self.done = 0
        self.workers = 1
        self.running: dict[str, float] = {}
        self.failures: list[Outcome] = []
        self.failed = 0
        # Cells begin and end in threads of the cluster's client.
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._start = clock()

    @contextmanager
    def over(self, total: int, before: int, failed: int, workers: int) -> Iterator[None]:
        """Show the board while a study runs.

        Parameters
        ----------
        total, before, failed : int
            Cells of the study, and how many of them had finished and failed before.
        workers : int
            Cells that run at a time.
        """
        self.total, self.before, self.failed, self.workers = total, before, failed, max(1, workers)
        self._start = self.clock()
        if self.silent:
            yield
        elif self.console.is_terminal:
            with Live(console=self.console, refresh_per_second=2, get_renderable=self.render) as self._live:
                yield
        else:
            self.console.print(self._counts(), soft_wrap=True)
            yield

    def began(self, cell: str) -> None:
        """Note that a cell has begun."""
        with self._lock:
            self.running[cell] = self.clock()

    def ended(self, outcome: Outcome) -> None:
        """Note that a cell has ended."""
        with self._lock:
            self.running.pop(outcome.cell, None)
            self.done += 1
            if outcome.failure is not None:
                self.failed += 1
                self.failures.append(outcome)
        if not self.silent and self._live is None:
            self.console.print(Text(plain(self._line(outcome))), soft_wrap=True)

    def seconds_left(self) -> float | None:
        """Return an estimate of the time left; None before a cell has ended."""
        if not self.done:
            return None
        left = self.total - self.before - self._failed_before() - self.done
        return (self.clock() - self._start) / self.done * left

    def render(self) -> RenderableType:
        """Return the board as it stands."""
        with self._lock:
            running, failures = list(self.running.items()), self.failures[-LISTED:]
        ended = self.before + self._failed_before() + self.done
        bar = ProgressBar(total=max(1, self.total), completed=ended, width=40)
        head = Table.grid(padding=(0, 2))
        head.add_row(bar, Text(self._counts()))
        rows = Table.grid(padding=(0, 2))
        for cell, since in running[:LISTED]:
            rows.add_row(
                "",
                Text(plain(cell), style="cyan", overflow="ellipsis", no_wrap=True),
                _clock(self.clock() - since),
            )
        if len(running) > LISTED:
            rows.add_row("", f"and {len(running) - LISTED} more", "")
        for outcome in failures:
            assert outcome.failure is not None
            said = f"{outcome.cell}: {outcome.failure['error']}: {outcome.failure['message']}"
            rows.add_row("", Text(plain(said), style="red", overflow="ellipsis", no_wrap=True), "failed")
        return Group(head, rows)

    def _failed_before(self) -> int:
        return self.failed - len(self.failures)

    def _counts(self) -> str:
        done = self.before + self.done - len(self.failures)
        waiting = self.total - self.before - self._failed_before() - self.done - len(self.running)
        text = (
            f"{done}/{self.total} done, {len(self.running)} running, {self.failed} failed, {waiting} waiting"
        )
        left = self.seconds_left()
        return text + ("" if left is None or waiting + len(self.running) <= 0 else f", {_clock(left)} left")

    def _line(self, outcome: Outcome) -> str:
        """Return the line of a cell that has ended."""
        if outcome.failure is not None:
            what = f"failed: {outcome.failure['error']}: {outcome.failure['message']}"
        else:
            what = "resumed and done" if outcome.resumed else "done"
        left = self.seconds_left()
        time_left = f"  ({_clock(left)} left)" if left else ""
        number = self.before + self._failed_before() + self.done
        return " ".join(
            f"[{number}/{self.total}] {outcome.cell} {what} {outcome.seconds:.1f} s{time_left}".split("\n")
        )


def _clock(seconds: float) -> str:
    """Return a duration as people write it."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
