"""What ``flowsolve study`` prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from .line import Line
from .tables import console

if TYPE_CHECKING:
    from ..studies.estimate import Estimate
    from ..studies.planning import Plan
    from ..studies.running import Summary

#: What tells cells apart, as columns.
COLUMNS = ("task", "sigma", "formulation", "phi", "lam", "prior", "solver", "start", "seed")


class _Probes(Line):
    """A line that counts probes."""

    def told(self, done: int, total: int) -> None:
        self._bar.update(self._line, completed=done / max(1, total), state=f"{done}/{total}")


@contextmanager
def probing() -> Iterator[Callable[[int, int], None]]:
    """Show a line while probes run; yields what is to be told their number."""
    with _Probes("timing", refresh_per_second=4) as line:
        yield line.told


def print_plan(plan: Plan, estimate: Estimate | None, workers: int, *, as_json: bool) -> None:
    """Print the cells of a plan, what is left out and the time, as tables or as one JSON object."""
    seconds = None if estimate is None else estimate.total(workers)
    if as_json:
        document = plan.to_dict() | {
            "workers": workers,
            "seconds": seconds,
            "probes_failed": {} if estimate is None else estimate.failed,
        }
        print(json.dumps(document, allow_nan=False))
        return
    out = console(wide=True)
    out.print(_cells(plan, estimate))
    for reason in plan.left_out:
        said = f"left out ({reason['cells']} cells, line {reason['line']}): {reason['reason']}"
        out.print(said, soft_wrap=True)
    batches = Counter(len(cell.images) for cell in plan.cells)
    images = ", ".join(f"{size} image{'s' if size > 1 else ''}" for size in sorted(batches))
    out.print(f"{len(plan.cells)} cells of {images}", style="bold")
    if estimate is not None:
        for cell, why in estimate.failed.items():
            out.print(f"could not be timed: {cell}: {why}", soft_wrap=True)
        with_workers = f" with {workers} workers" if workers > 1 else ""
        out.print(f"at most about {duration(seconds or 0)}{with_workers}")


def print_summary(summary: Summary, folder: Path, *, as_json: bool) -> None:
    """Print how a study ended, with the cells that failed, as text or as one JSON object."""
    if as_json:
        print(json.dumps(summary.to_dict(), allow_nan=False))
        return
    out = console()
    said = summary.to_dict()
    done = said["skipped"] + said["finished"]
    out.print(
        f"{done} of {said['cells']} cells done: {said['finished']} now ({said['resumed']} resumed), "
        f"{said['skipped']} before; {said['failed']} failed"
    )
    for failure in summary.failures:
        text = f"failed: {failure['cell']}: {failure['error']}: {failure['message']}"
        out.print(text, soft_wrap=True)
    if summary.failures:
        out.print("the same command with --retry-failed runs failed cells again")
    out.print(f"written to {folder}", soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a duration in the unit that people would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _cells(plan: Plan, estimate: Estimate | None) -> Table:
    table = Table(box=SIMPLE_HEAD, title=plan.title or None, title_justify="left", pad_edge=False)
    for name in COLUMNS:
        table.add_column(name)
    table.add_column("images", justify="right")
    if estimate is not None:
        table.add_column("at most", justify="right")
    for cell in plan.cells:
        row = [_word(getattr(cell, name)) for name in COLUMNS] + [str(len(cell.images))]
        if estimate is not None:
            row.append(duration(estimate.seconds[cell.id]) if cell.id in estimate.seconds else "?")
        table.add_row(*row)
    return table


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
