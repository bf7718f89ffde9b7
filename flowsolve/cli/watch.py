"""``flowsolve watch``: follow a run while another process writes it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import ArgumentError
from ..terminal import console as make_console
from ..terminal import plain
from ..words import number

if TYPE_CHECKING:
    from ..recording import RunRecord

BLOCKS = " ▁▂▃▄▅▆▇█"
"""Heights of a curve's columns, an eighth of a line each."""

ASCII_BLOCKS = " .:-=+*#@"
"""What stands for them where the output cannot hold them."""

WIDTH, HEIGHT = 64, 5
"""Size of a curve in characters."""


def watch(
    record: Annotated[
        Path,
        typer.Argument(metavar="RUN.h5|DIR", help="Record, or output folder, of a run that is going on."),
    ],
    interval: Annotated[float, typer.Option(help="Seconds between updates.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Show the present state and end.")] = False,
) -> None:
    """Follow a run in the terminal: curves and a table, until it ends."""
    from ..recording import open_run
    from .record_path import the_record

    if not interval > 0:
        raise ArgumentError("interval", interval, "a number > 0")
    run, console = open_run(the_record(record)), make_console()
    blocks = blocks_for(console.encoding)
    if once:
        console.print(view(run, blocks))
        return
    with Live(view(run, blocks), console=console, refresh_per_second=4) as live:
        while run.status == "running":
            time.sleep(interval)
            live.update(view(run.refresh(), blocks))


def blocks_for(encoding: str) -> str:
    """Return the blocks of which an output in this encoding can draw curves."""
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII_BLOCKS
    return BLOCKS


def view(run: RunRecord, blocks: str = BLOCKS) -> Group:
    """Return what is shown of a run: status, curves of mean objective and PSNR, a table."""
    # Imported here: `flowsolve --help` should not wait for torch.
    from ..recording.earlier import values_of_last_stage

    trace = run.trace
    head = Text.assemble((plain(run.path), "bold"), f"  {run.status}")
    if not trace or not len(trace["iteration"]):
        return Group(head, Text("no iteration has been recorded yet"))
    table = Table("", "start", "now", "best", box=None, pad_edge=False, header_style="dim")
    parts: list[Text | Table] = [head]
    value = values_of_last_stage(trace)
    # Stages minimise different functions: what is shown of F is the last one's.
    value = value[np.isfinite(value).any(axis=1).argmax() :]
    columns = {"objective": value} | ({"PSNR (dB)": trace["psnr"]} if "psnr" in trace else {})
    for name, column in columns.items():
        mean = column.mean(1)
        best = mean.max() if name.startswith("PSNR") else mean.min()
        table.add_row(name, *(number(value, ".6g") for value in (mean[0], mean[-1], best)))
        title, drawn = f"{name}, mean of {column.shape[1]}", mean
        if name == "objective" and np.isfinite(mean).all() and np.ptp(mean) > 0:
            # Objectives fall by powers of ten: a linear curve would be one step and a flat line.
            gap = mean - mean.min()
            title, drawn = f"{title}, above its lowest, log scale", np.log10(gap.clip(min=gap[gap > 0].min()))
        parts += [Text(title, style="dim"), Text(curve(drawn, blocks=blocks), style="cyan")]
    limit = run.last_iteration
    cost = f"{trace['iteration'][-1]}" + (f" of {limit}" if limit else "")
    table.add_row("iteration", "", cost, "")
    table.add_row("evaluations", "", f"{trace['evaluations'][-1].mean():.0f}", "")
    table.add_row("solver seconds", "", f"{run.seconds:.1f}", "")
    return Group(*parts, table)


def curve(values: np.ndarray, width: int = WIDTH, height: int = HEIGHT, blocks: str = BLOCKS) -> str:
    """Return values as a filled curve of block characters.

    Parameters
    ----------
    values : numpy.ndarray, shape (K,)
        What to draw, from left to right.
    width, height : int
        Size in characters; more values than `width` are averaged.
    blocks : str
        What to draw with: the heights of a column from nothing to a whole line.

    Returns
    -------
    str
        `height` lines.
    """
    values = np.asarray(values, dtype=float)
    finite = values[np.isfinite(values)]
    # What is infinite, as the PSNR of equal images, is drawn at the edge; what is undefined, at the lowest.
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    pieces = np.array_split(values, min(width, len(values)))
    means = np.array([piece.mean() for piece in pieces])
    low, span = means.min(), np.ptp(means)
    level = np.full(len(means), 0.5) if span == 0 else (means - low) / span
    eighths = np.maximum(1, np.round(level * height * 8)).astype(int)
    rows = [np.clip(eighths - 8 * row, 0, 8) for row in reversed(range(height))]
    return "\n".join("".join(blocks[filled] for filled in row) for row in rows)
