"""``flowsolve compare``: several runs on a common axis of cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    records: Annotated[
        list[Path], typer.Argument(metavar="RUN.h5|DIR...", help="Records, or output folders, of runs.")
    ],
    axis: Annotated[
        str, typer.Option(help="iterations, evaluations, flow (network passes) or seconds.")
    ] = "evaluations",
    out: Annotated[Path | None, typer.Option(help="Write the figure to this PNG or PDF file.")] = None,
) -> None:
    """Compare recorded runs of the same images: a table and a figure."""
    from ..recording import open_run
    from ..report.compare import compare_runs, comparison_figure
    from ..report.figure import save_figure
    from .record_path import records_in
    from .tables import console, print_comparison

    compared = compare_runs([open_run(found) for path in records for found in records_in(path)], axis)
    print_comparison(compared, axis)
    if out is not None:
        save_figure(comparison_figure(compared, axis), out)
        console().print(f"written to {out}", soft_wrap=True)
