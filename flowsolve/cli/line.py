"""A bar, a few words and the time left, on one line of the terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..terminal import console as make_console
from ..terminal import plain

if TYPE_CHECKING:
    from typing_extensions import Self


class Line:
    """A line on standard error, there for the length of a ``with`` statement.

    Parameters
    ----------
    label : str
        What to write before the bar.
    console : rich.console.Console, optional
        Where to write, by default standard error.
    refresh_per_second : float
        How often to redraw it.
    silent : bool
        Whether to write nothing.
    """

    def __init__(
        self,
        label: str,
        console: Console | None = None,
        *,
        refresh_per_second: float,
        silent: bool = False,
    ) -> None:
        self.silent = silent
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[state]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=console or make_console(stderr=True),
            refresh_per_second=refresh_per_second,
            disable=silent,
        )
        self._line = self._bar.add_task(plain(label), total=1.0, state="starting")

    def say(self, completed: float, state: str) -> None:
        """Show how far it is, from 0 to 1, and a few words."""
        self._bar.update(self._line, completed=completed, state=plain(state))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
