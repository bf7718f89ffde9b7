"""``flowsolve show``: what a record says of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    record: Annotated[Path, typer.Argument(metavar="RUN.h5", help="Record of a run, finished or not.")],
) -> None:
    """Show the configuration and the outcome of a recorded run."""
    from ..recording import open_run
    from .tables import print_record

    print_record(open_run(record))
