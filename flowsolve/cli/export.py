"""``flowsolve export``: what a record holds, as files that other programs open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import DataTypeOut, Format


def export(
    record: Annotated[Path, typer.Argument(metavar="RUN.h5|DIR", help="Record, or output folder of a run.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    dtype_out: DataTypeOut = "uint8",
    format: Format = None,
) -> None:
    """Write the restored images, the curves (CSV) and the figure of a recorded run."""
    from ..recording import open_run
    from .exporting import export_record
    from .record_path import records_in
    from .tables import console

    for path in records_in(record):
        label = path.stem.removeprefix("run") if record.is_dir() else ""
        names = {"figure": f"figure{label}.png", "curves": f"curves{label}.csv"}
        written = export_record(open_run(path), out, dtype=dtype_out, kind=format, **names)
        said = f"{len(written) - 2} images in restored/, {written[-2].name}, {written[-1].name}"
        console().print(f"written to {out}: {said}", soft_wrap=True)
