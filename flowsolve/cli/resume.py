"""``flowsolve resume``: continue an interrupted or killed run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Threads


def resume(
    record: Annotated[Path, typer.Argument(metavar="RUN.h5", help="Record of a run that did not finish.")],
    prior: Annotated[
        str | None,
        typer.Option(help="Name, file or MODULE:NAME of the prior, if it is no longer where the run had it."),
    ] = None,
    threads: Threads = None,
) -> None:
    """Continue a run from its last checkpoint, in the same record.

    On the CPU, with as many threads as before, the run goes on bit by bit as if it had not stopped.
    """
    from ..recording import open_run
    from ..recording.resume import resume as continue_run
    from .tables import print_record
    from .unfinished import load_for, progress_of, use_threads

    before = open_run(record)
    use_threads(before, threads)
    with progress_of(before, "resumed") as line:
        continue_run(record, prior=load_for(before, prior), callback=line.update)
    print_record(open_run(record))
