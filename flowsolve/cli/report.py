"""``flowsolve report``: studies and records as one page, in a file or served on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="DIR|RUN.h5...", help="Studies, folders of records, records.")
    ],
    out: Annotated[Path, typer.Option(help="File to write; replaced if it exists.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title; by default the folder's name.")] = None,
    pictures: Annotated[
        float, typer.Option(min=0, help="Most megabytes of pictures in the page; 0 for none.")
    ] = 5.0,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on this machine, following the runs, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port to serve on; 0 for any that is free.")] = 8765,
) -> None:
    """Write the report of finished or running studies: profiles, curves, pictures, tables, configurations."""
    from ..report.page import write_report
    from ..report.serve import ReportServer
    from ..terminal import console

    room = int(pictures * 1e6)
    if not serve:
        written = write_report(paths, out, title=title, room=room)
        size = written.stat().st_size / 1e6
        console().print(f"wrote {written} ({size:.1f} MB)", soft_wrap=True)
        return
    with ReportServer(paths, port, title=title, room=room) as server:
        typer.echo(f"serving {server.url}, Ctrl-C ends it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended")
