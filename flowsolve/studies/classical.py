"""Classical restorations that records hold beside their runs: what a run has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import RecordError
from ..recording.classical import classical_psnr
from .extras import require
from .index import MEASUREMENT, Index
from .paired import FAMILY

if TYPE_CHECKING:
    import pandas

#: What the images have in common over which means are taken: a classical restoration has no prior.
WITHIN = tuple(name for name in FAMILY if name != "prior")


def classical_table(index: Index) -> pandas.DataFrame:
    """Return the PSNR of every classical restoration, one row a measured image and restoration.

    Parameters
    ----------
    index : Index
        The runs; records without restorations add nothing, and runs on the same data add each one once.

    Returns
    -------
    pandas.DataFrame
        The columns of `MEASUREMENT`; ``baseline``, its name; ``psnr`` in dB.
    """
    pandas = require("pandas")
    rows: list[dict[str, Any]] = []
    own = {run: rows.to_dict("records") for run, rows in index.table.groupby("run", sort=False)}
    for entry in index.runs:
        try:
            found = classical_psnr(entry.record())
        except RecordError:
            continue
        for name, psnr in found.items():
            for row, db in zip(own[entry.id], psnr, strict=True):
                rows.append({**{k: row[k] for k in MEASUREMENT}, "baseline": name, "psnr": float(db)})
    table = pandas.DataFrame(rows, columns=[*MEASUREMENT, "baseline", "psnr"])
    return table.drop_duplicates([*MEASUREMENT, "baseline"], ignore_index=True)


def classical_means(table: pandas.DataFrame) -> dict[tuple[Any, ...], list[tuple[str, float]]]:
    """Return for each value of `WITHIN` the restorations with their mean PSNR, the best first."""
    found: dict[tuple[Any, ...], list[tuple[str, float]]] = {}
    for key, own in table.groupby(list(WITHIN), sort=False, dropna=False):
        means = own.groupby("baseline")["psnr"].mean().sort_values(ascending=False, kind="stable")
        found[tuple(key)] = [(str(name), float(db)) for name, db in means.items()]
    return found
