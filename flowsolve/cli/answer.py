"""``flowsolve answer``: what a study says, in words and tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json

if TYPE_CHECKING:
    import pandas
    from rich.console import Console

#: Most rows of a table that are printed; the whole of it comes with --json.
ROWS = 20


def answer(
    studies: Annotated[
        list[Path], typer.Argument(metavar="DIR|RUN.h5...", help="Studies, folders of records, records.")
    ],
    axis: Annotated[
        str, typer.Option(help="Cost: iterations, evaluations, flow (network passes) or seconds.")
    ] = "evaluations",
    tau: Annotated[float, typer.Option(help="Gap to the lowest F that counts as solved, in (0, 1).")] = 1e-2,
    threshold: Annotated[
        float, typer.Option(help="Relative distance of latents at which two solutions are two basins.")
    ] = 0.5,
    tables: Annotated[
        bool, typer.Option("--tables", help="Print the numbers behind each answer too.")
    ] = False,
    json: Json = False,
) -> None:
    """Say which solver, start and weight did best in finished runs, and what F is worth."""
    from ..studies.answers import answers
    from ..studies.index import read_index
    from .tables import console

    found = answers(read_index(studies), axis=axis, tau=tau, threshold=threshold)
    if json:
        _print_json(found)
        return
    out = console(wide=True)
    for one in found:
        out.print(one.question, style="bold")
        out.print(one.text + "\n", soft_wrap=not out.is_terminal)
        if tables:
            _print_table(out, one.table)


def _print_table(out: Console, table: pandas.DataFrame) -> None:
    out.print(_table(table))
    if len(table) > ROWS:
        out.print(f"the first {ROWS} of {len(table)} rows; --json has all", style="dim")
    out.print()


def _table(frame: pandas.DataFrame) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # What is the same in every row says nothing in a narrow terminal.
    shown = [name for name in frame if len(frame) == 1 or frame[name].nunique(dropna=False) > 1]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name in shown:
        text = frame[name].dtype == object or str(frame[name].dtype) == "str"
        table.add_column(str(name), justify="left" if text else "right", overflow="fold")
    for row in frame[shown].head(ROWS).itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_json(found: list[Any]) -> None:
    import json

    said = [
        {"question": one.question, "text": one.text, "table": json.loads(one.table.to_json(orient="records"))}
        for one in found
    ]
    print(json.dumps(said, allow_nan=False))
