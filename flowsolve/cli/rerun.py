"""``flowsolve rerun``: repeat a run from its configuration and say whether it comes out the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Threads


def rerun(
    record: Annotated[Path, typer.Argument(metavar="RUN.h5|DIR", help="Record, or output folder, of a run.")],
    out: Annotated[Path | None, typer.Option(help="Record the repetition in this file.")] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="Name, file or MODULE:NAME of the prior, if it is no longer where the run had it."),
    ] = None,
    threads: Threads = None,
) -> None:
    """Repeat a run from its record alone and say whether the traces agree.

    Exit code 0 if they agree bit by bit, 1 if not.
    """
    from ..recording import open_run
    from ..recording.resume import rerun as repeat
    from .record_path import the_record
    from .tables import print_repetition
    from .unfinished import load_for, progress_of, use_threads

    record = the_record(record)
    before = open_run(record)
    use_threads(before, threads)
    with progress_of(before, "repeated") as line:
        repetition = repeat(record, record=out, prior=load_for(before, prior), callback=line.update)
    print_repetition(repetition)
    if not repetition.identical:
        raise typer.Exit(1)
