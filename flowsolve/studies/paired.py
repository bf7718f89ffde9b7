"""Is one method better than another? Both on the same images, image by image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError
from ..infinite import difference, median
from .curves import METHOD, label
from .extras import require
from .statistics import bootstrap_interval, holm, rank_biserial, signed_rank

if TYPE_CHECKING:
    import pandas

#: Columns of the table of which less is better; of ``psnr`` and its kin more is.
LESS_IS_BETTER = (
    "value",
    "value_final",
    "data_fidelity",
    "iterations",
    "evaluations",
    "gradients",
    "passes",
    "seconds",
)
MORE_IS_BETTER = ("psnr", "psnr_final", "psnr_peak")

#: What the images of one family of tests have in common: more columns where F is compared.
FAMILY = ("task", "operator", "sigma", "prior")
FAMILY_OF_OBJECTIVE = (*FAMILY, "method", "formulation", "phi", "lam_given")


def paired_tests(
    table: pandas.DataFrame,
    column: str = "psnr",
    methods: Sequence[str] = METHOD,
    *,
    within: Sequence[str] | None = None,
    reference: str | None = None,
) -> pandas.DataFrame:
    """Compare methods by pairs on the images that both restored.

    Wilcoxon's signed-rank test on the differences, image by image, with the matched-pairs rank-biserial
    correlation as its effect and Holm's correction over all the tests returned. An image enters once: over
    seeds its median is taken. Images are what is drawn at random, so each family of tests has one task and
    noise level: the same image in two tasks is not two independent ones.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table.
    column : str
        What is compared: one of `LESS_IS_BETTER` or `MORE_IS_BETTER`.
    methods : sequence of str
        Columns that tell methods apart.
    within : sequence of str, optional
        Columns in which a family agrees; unless given, `FAMILY`, and for ``value`` `FAMILY_OF_OBJECTIVE`.
    reference : str, optional
        Label of a method to compare all others with; every pair unless given. Fewer tests, more power.

    Returns
    -------
    pandas.DataFrame
        A row a pair: the columns of `within`, ``better``, ``worse``, ``images``, ``median`` (of the
        differences better − worse) with its bootstrap interval ``low``, ``high``, ``effect`` in [0, 1], ``p``
        and ``p_holm``. `better` is the method that the ranks favour.

    Raises
    ------
    ArgumentError
        If a name is unknown.
    """
    pandas = require("pandas")
    if column not in (*LESS_IS_BETTER, *MORE_IS_BETTER):
        raise ArgumentError("column", repr(column), " or ".join((*MORE_IS_BETTER, *LESS_IS_BETTER)))
    if within is None:
        objective = column in ("value", "value_final", "data_fidelity")
        within = FAMILY_OF_OBJECTIVE if objective else FAMILY
    within = [name for name in within if name not in methods]
    rows = []
    labelled = table.assign(method=[label(row, methods) for row in table.to_dict("records")])
    if reference is not None and reference not in set(labelled["method"]):
        known = ", ".join(sorted(set(labelled["method"])))
        raise ArgumentError("reference", repr(reference), known or "a method of the table")
    for family, own in labelled.groupby(list(within), sort=False, dropna=False):
        values = own.pivot_table(
            index=["image", "measurement"], columns="method", values=column, aggfunc="median"
        )
        values = values[[name for name in dict.fromkeys(own["method"]) if name in values]]
        for a, b in itertools.combinations(values, 2):
            if reference in (None, a, b):
                pair = _pair(values, a, b, column)
                rows.append({**dict(zip(within, family, strict=True)), **pair})
    columns = [*within, "better", "worse", "images", "median", "low", "high", "effect", "p"]
    frame = pandas.DataFrame(rows, columns=columns)
    return frame.assign(p_holm=holm(frame["p"].to_numpy(dtype=np.float64)))


def medians(
    table: pandas.DataFrame, column: str = "psnr", methods: Sequence[str] = (*FAMILY, *METHOD)
) -> pandas.DataFrame:
    """Return the median over images of a column for each method, with its 95 % bootstrap interval.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table.
    column : str
        A column of numbers.
    methods : sequence of str
        Columns that tell the rows of the result apart.
    """
    pandas = require("pandas")
    rows = []
    for key, own in table.groupby(list(methods), sort=False, dropna=False):
        values = own.groupby(["image", "measurement"])[column].median().dropna().to_numpy()
        low, high = bootstrap_interval(values)
        middle = float(median(values)) if len(values) else np.nan
        numbers = {"images": len(values), "median": middle, "low": low, "high": high}
        rows.append({**dict(zip(methods, key, strict=True)), **numbers})
    return pandas.DataFrame(rows, columns=[*methods, "images", "median", "low", "high"])


def _pair(values: pandas.DataFrame, a: str, b: str, column: str) -> dict[str, object]:
    both = values[[a, b]].dropna()
    gain = difference(both[a], both[b])
    if column in LESS_IS_BETTER:
        gain = -gain
    effect = rank_biserial(gain)
    better, worse = (a, b) if effect >= 0 else (b, a)
    differences = difference(both[better], both[worse])
    low, high = bootstrap_interval(differences)
    return {
        "better": better,
        "worse": worse,
        "images": len(both),
        "median": float(median(differences)) if len(both) else np.nan,
        "low": low,
        "high": high,
        "effect": abs(effect),
        "p": signed_rank(differences),
    }
