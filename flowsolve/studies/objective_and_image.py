"""Does a lower F mean a better image? Of runs on one problem: how the ranks of F and of PSNR agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..infinite import difference, median
from .extras import require
from .index import OBJECTIVE
from .statistics import bootstrap_interval, spearman

if TYPE_CHECKING:
    import pandas

#: How the answer is summed up.
GROUP = ("task", "operator", "sigma", "prior", "formulation", "phi", "lam_given")


def agreement(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row a problem: how well F says which of its runs has the better image.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table; problems with fewer than two runs, or without the truth, are left out.

    Returns
    -------
    pandas.DataFrame
        The problem's columns; ``runs``; ``correlation``, Spearman's between −F and PSNR at the best iterates
        (1: the lower F, the better the image; NaN with fewer than three runs); ``psnr_lowest``, PSNR of the
        run of lowest F; ``psnr_highest``, the best of the runs; ``regret``, their difference in dB, what
        choosing by F costs; ``overshoot``, the median over runs of what the lowest F lies under the run's own
        peak in dB.
    """
    pandas = require("pandas")
    rows = []
    known = table.dropna(subset=["value", "psnr"])
    for key, own in known.groupby([*OBJECTIVE, "lam_given"], sort=False, dropna=False):
        if len(own) < 2:
            continue
        value, psnr = own["value"].to_numpy(), own["psnr"].to_numpy()
        lowest, highest = float(psnr[value.argmin()]), float(psnr.max())
        rows.append(
            {
                **dict(zip([*OBJECTIVE, "lam_given"], key, strict=True)),
                "runs": len(own),
                "correlation": spearman(-value, psnr),
                "psnr_lowest": lowest,
                "psnr_highest": highest,
                "regret": float(difference(highest, lowest)),
                "overshoot": float(median(difference(own["psnr_peak"], own["psnr"]))),
            }
        )
    columns = ("runs", "correlation", "psnr_lowest", "psnr_highest", "regret", "overshoot")
    return pandas.DataFrame(rows, columns=[*OBJECTIVE, "lam_given", *columns])


def agreement_summary(agreements: pandas.DataFrame, by: Sequence[str] = GROUP) -> pandas.DataFrame:
    """Return medians of `agreement` over the images of each group, with 95 % bootstrap intervals.

    Parameters
    ----------
    agreements : pandas.DataFrame
        Of `agreement`.
    by : sequence of str
        Columns in which the problems of a group agree.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, ``problems``, ``correlation`` with ``low`` and ``high``, ``regret``, ``overshoot``
        (medians, in dB), ``lowest_is_best`` (share of problems where the run of lowest F has the best image).
    """
    pandas = require("pandas")
    rows = []
    for key, own in agreements.groupby(list(by), sort=False, dropna=False):
        correlation = own["correlation"].dropna().to_numpy()
        low, high = bootstrap_interval(correlation)
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "problems": len(own),
                "correlation": float(np.median(correlation)) if len(correlation) else np.nan,
                "low": low,
                "high": high,
                "regret": float(own["regret"].median()),
                "overshoot": float(own["overshoot"].median()),
                "lowest_is_best": float((own["regret"] == 0).mean()),
            }
        )
    columns = ("problems", "correlation", "low", "high", "regret", "overshoot", "lowest_is_best")
    return pandas.DataFrame(rows, columns=[*by, *columns])
