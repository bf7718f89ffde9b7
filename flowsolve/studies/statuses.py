"""How runs ended, and why some did not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .curves import METHOD, label
from .extras import require
from .index import Index

if TYPE_CHECKING:
    import pandas


def status_table(table: pandas.DataFrame, methods: Sequence[str] = METHOD) -> pandas.DataFrame:
    """Return how many images ended with each status: a row a method, a column a status."""
    pandas = require("pandas")
    names = [label(row, methods) for row in table.to_dict("records")]
    counts = pandas.crosstab(pandas.Series(names, name="method"), table["status"].reset_index(drop=True))
    return counts.reindex(list(dict.fromkeys(names)))


def failure_table(index: Index) -> pandas.DataFrame:
    """Return what failed, grouped by its cause.

    Returns
    -------
    pandas.DataFrame
        ``error``, ``message``, ``cells`` (how many), ``solvers`` (their labels, where plans tell) and
        ``example`` (the id of one); the most frequent cause first.
    """
    pandas = require("pandas")
    causes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cause in index.failed:
        causes.setdefault((str(cause.get("error")), str(cause.get("message"))), []).append(cause)
    rows = []
    for (error, message), own in sorted(causes.items(), key=lambda item: -len(item[1])):
        solvers = dict.fromkeys(str(c["parameters"]["solver"]) for c in own if "parameters" in c)
        example = own[0].get("cell")
        rows.append((error, message, len(own), ", ".join(solvers), example))
    return pandas.DataFrame(rows, columns=["error", "message", "cells", "solvers", "example"])
