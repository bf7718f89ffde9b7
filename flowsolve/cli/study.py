"""``flowsolve study``: write a study file, see what it plans, run it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError
from .options import Json

if TYPE_CHECKING:
    from ..studies.planning import Plan
    from ..studies.running import Executor

study = typer.Typer(
    help="Plan and run many runs: solvers, starts, weights on several problems.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="Study file (`study new` writes one).")]
Data = Annotated[Path | None, typer.Option(help="Folder in which the file's images are looked for first.")]


@study.command("new")
def new(
    path: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="File to write.")] = Path("study.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file, if it exists.")] = False,
) -> None:
    """Write a study file with every key explained, to be changed."""
    from ..files import write_atomically
    from ..studies.template import TEMPLATE
    from .tables import console

    if path.exists() and not force:
        raise ArgumentError("path", f"{path}, which exists", "a new file, or --force to replace it")
    if not path.parent.is_dir():
        raise ArgumentError("path", f"{path}, whose folder does not exist", "a file in a folder that exists")
    write_atomically(path, TEMPLATE.encode(), "path")
    console().print(f"written to {path}; next: flowsolve study plan {path}", soft_wrap=True)


@study.command("plan", no_args_is_help=True)
def plan(
    path: File,
    data: Data = None,
    workers: Annotated[int, typer.Option(help="Cells at a time, for the time estimate.")] = 1,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Estimate the time by short runs.")
    ] = True,
    json: Json = False,
) -> None:
    """Print the cells of a study, their number, what is left out, and about how long they take."""
    from ..studies.estimate import estimate
    from .study_tables import print_plan, probing

    if workers < 1:
        raise ArgumentError("workers", workers, "an integer >= 1")
    planned = _planned(path, data)
    found = None
    if probe:
        with probing() as told:
            found = estimate(planned, told=told)
    print_plan(planned, found, workers, as_json=json)


@study.command("run", no_args_is_help=True)
def run(
    path: File,
    out: Annotated[Path, typer.Option(help="Folder of the study: new, or that of this study.")],
    data: Data = None,
    workers: Annotated[
        int | None, typer.Option(help="Start so many workers here, with one thread each (Dask).")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="Use a Dask scheduler that is running.")
    ] = None,
    transfer: Annotated[
        str, typer.Option(help="How workers get the images: path (they read them) or array (sent to them).")
    ] = "path",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    json: Json = False,
) -> None:
    """Run the cells that are not finished; begun ones go on where they were.

    Cells that fail are listed with the cause while the rest goes on; the exit code is 1 then.
    """
    from ..studies.board import Board
    from ..studies.folder import StudyFolder
    from ..studies.running import run_study
    from .study_tables import print_summary

    if transfer not in ("path", "array"):
        raise ArgumentError("transfer", repr(transfer), "path or array")
    planned = _planned(path, data)
    # A folder that is refused must not wait for workers to start.
    StudyFolder(out).check(planned)
    with _executor(workers, scheduler) as executor:
        summary = run_study(
            planned, out, executor=executor, transfer=transfer, retry_failed=retry_failed, board=Board()
        )
    print_summary(summary, out, as_json=json)
    if summary.failures:
        raise typer.Exit(1)


def _planned(path: Path, data: Path | None) -> Plan:
    """Return the plan of a study file, or print its mistakes, one on each line, and end."""
    from ..studies.planning import make_plan
    from ..studies.problems import StudyFileError
    from ..terminal import console

    try:
        return make_plan(path, data)
    except StudyFileError as error:
        for line in error.lines():
            console(stderr=True).print(line, soft_wrap=True)
        raise typer.Exit(2) from None


def _executor(workers: int | None, scheduler: str | None) -> AbstractContextManager[Executor | Any]:
    """Return what carries out the cells: this process, workers of its own, or those of a scheduler."""
    if workers is not None and scheduler is not None:
        raise ArgumentError("scheduler", "one together with --workers", "one of the two")
    if workers is None and scheduler is None:
        return nullcontext()
    from ..studies.cluster import connected, local_cluster

    if scheduler is not None:
        return connected(scheduler)
    assert workers is not None
    return local_cluster(workers)
