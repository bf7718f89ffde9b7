"""``flowsolve show``: what a record says of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    record: Annotated[
        Path,
        typer.Argument(metavar="RUN.h5|DIR", help="Record, or output folder, of a run, finished or not."),
    ],
) -> None:
    """Show the configuration and the outcome of a recorded run."""
    from ..recording import open_run
    from .record_path import records_in
    from .tables import print_record

    for path in records_in(record):
        print_record(open_run(path))
