"""``flowsolve resume``: continue an interrupted or killed run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Threads


def resume(
    record: Annotated[
        Path,
        typer.Argument(metavar="RUN.h5|DIR", help="Record, or output folder, of a run that did not finish."),
    ],
    prior: Annotated[
        str | None,
        typer.Option(help="Name, file or MODULE:NAME of the prior, if it is no longer where the run had it."),
    ] = None,
    max_iter: Annotated[
        int | None, typer.Option(help="Go on to this iteration, also of a finished run of one solver.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Continue a run from its last checkpoint, in the same record, and write its images, figure and summary.

    On the CPU, with as many threads as before, the run goes on bit by bit as if it had not stopped.
    """
    from ..recording import open_run
    from ..recording.resume import resume as continue_run
    from .exporting import update_folder
    from .record_path import the_record
    from .tables import console, print_record
    from .unfinished import load_for, progress_of, use_threads

    record = the_record(record)
    before = open_run(record)
    use_threads(before, threads)
    with progress_of(before, "resumed", max_iter) as line:
        continue_run(record, prior=load_for(before, prior), max_iter=max_iter, callback=line.update)
    after = open_run(record)
    print_record(after)
    update_folder(after)
    console().print(f"written to {record.parent}: restored/, figure, curves, summary.json", soft_wrap=True)
