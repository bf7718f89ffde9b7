"""The best method of each family of runs, and how far the others lie under it, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..infinite import difference, median
from .curves import label
from .extras import require
from .paired import FAMILY, paired_tests

if TYPE_CHECKING:
    import pandas

#: What makes a way to restore an image.
COMBINATION = ("formulation", "phi", "lam_given", "solver", "start")

#: What the runs of one solver on one objective have in common, whatever image it is.
SETTING = tuple(name for name in (*FAMILY, "formulation", "phi", "lam_given", "solver"))

#: Columns of numbers of the tables below.
NUMBERS = ("images", "psnr", "under", "low", "high", "effect", "p_holm")


def contenders(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return for each task its best combination, and the other solvers and formulations at their best.

    A solver at its best has the formulation, prior term, weight and start with which its mean PSNR is highest
    on these images. Comparing these few, and not all combinations, leaves tests that a handful of images can
    decide.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table; rows whose truth is not known are left out.

    Returns
    -------
    pandas.DataFrame
        A row a contender, the best one of each task first: the columns of `FAMILY` and `COMBINATION`, those
        of `compared_with_best`; ``of``, how many combinations the task has.
    """
    rows = []
    for family, own in table.dropna(subset=["psnr"]).groupby(list(FAMILY), sort=False, dropna=False):
        psnr = _by_image(own, COMBINATION)
        chosen = _at_their_best(psnr)
        for key, numbers in zip(chosen, compared_with_best(own, psnr[chosen], COMBINATION), strict=True):
            names = dict(zip((*FAMILY, *COMBINATION), (*family, *key), strict=True))
            rows.append({**names, **numbers, "of": psnr.shape[1]})
    return require("pandas").DataFrame(rows, columns=[*FAMILY, *COMBINATION, *NUMBERS, "of"])


def starts(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return for each solver and objective its best start, and how far the other ones lie under it.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table; solvers that ran once, from one start and seed, are left out.

    Returns
    -------
    pandas.DataFrame
        A row a start, the best one first: the columns of `SETTING`, ``start``, those of
        `compared_with_best`; ``wins``, the share of images that this start is the best of; ``seeds``, the
        median over images of the difference in PSNR between its seeds (NaN with one seed).
    """
    rows = []
    for setting, own in table.dropna(subset=["psnr"]).groupby(list(SETTING), sort=False, dropna=False):
        psnr = _by_image(own, ["start"])
        if psnr.shape[1] < 2 and own["seed"].nunique() < 2:
            continue
        wins = psnr.idxmax(axis=1).value_counts(normalize=True)
        for start, numbers in zip(psnr, compared_with_best(own, psnr, ["start"]), strict=True):
            more = {"wins": float(wins.get(start, 0.0)), "seeds": _between_seeds(own, start)}
            rows.append({**dict(zip(SETTING, setting, strict=True)), "start": start, **numbers, **more})
    return require("pandas").DataFrame(rows, columns=[*SETTING, "start", *NUMBERS, "wins", "seeds"])


def compared_with_best(
    own: pandas.DataFrame, psnr: pandas.DataFrame, methods: Sequence[str]
) -> list[dict[str, Any]]:
    """Return numbers of methods beside those of the best of them.

    Parameters
    ----------
    own : pandas.DataFrame
        Rows of one family.
    psnr : pandas.DataFrame
        PSNR, a row an image, a column a method, the best first.
    methods : sequence of str
        Columns of `own` that tell methods apart.

    Returns
    -------
    list of dict
        For each column ``images``; ``psnr``, the mean; ``under``, the median of the differences best − method
        in dB, with the 95 % bootstrap interval ``low``, ``high``; ``effect``, the matched-pairs rank-biserial
        correlation of the differences in [−1, 1]; ``p_holm``, of Wilcoxon's signed-rank test with Holm's
        correction. Of the best itself all but the first two are NaN.
    """
    names = [label(dict(zip(methods, _parts(key), strict=True)), methods) for key in psnr]
    kept = own[[label(row, methods) in names for row in own.to_dict("records")]]
    tests = paired_tests(kept, "psnr", methods, within=FAMILY, reference=names[0])
    rows = []
    for key, name in zip(psnr, names, strict=True):
        row = dict.fromkeys(NUMBERS, np.nan)
        row |= {"images": int(psnr[key].notna().sum()), "psnr": float(psnr[key].mean())}
        if name != names[0]:
            test = tests[(tests["better"] == name) | (tests["worse"] == name)].iloc[0]
            # The mean and the ranks need not favour the same one of two.
            behind = test["worse"] == name
            low, high = (test["low"], test["high"]) if behind else (-test["high"], -test["low"])
            sign = 1.0 if behind else -1.0
            row |= {"under": sign * test["median"], "low": low, "high": high}
            row |= {"effect": sign * test["effect"] + 0.0, "p_holm": test["p_holm"]}
        rows.append(row)
    return rows


def _by_image(own: pandas.DataFrame, methods: Sequence[str]) -> pandas.DataFrame:
    """Return PSNR, a row an image, a column a method, the best in the mean first; the median over seeds."""
    every = own.pivot_table(
        index=["image", "measurement"], columns=list(methods), values="psnr", aggfunc="median"
    )
    # Of studies of different images no image may be there for all: then each is judged by its own.
    psnr = every.dropna() if len(every.dropna()) else every
    return psnr[psnr.mean().sort_values(ascending=False, kind="stable").index]


def _at_their_best(psnr: pandas.DataFrame) -> list[Any]:
    """Return the best combination, the best one of each other solver and of each other formulation."""
    first: dict[tuple[str, Any], Any] = {}
    for key in psnr:
        for name in ("formulation", "solver"):
            first.setdefault((name, key[COMBINATION.index(name)]), key)
    return [key for key in psnr if key in set(first.values())]


def _between_seeds(own: pandas.DataFrame, start: str) -> float:
    psnr = own[own["start"] == start].pivot_table(
        index=["image", "measurement"], columns="seed", values="psnr"
    )
    return float(median(difference(psnr.max(axis=1), psnr.min(axis=1)))) if psnr.shape[1] > 1 else np.nan


def _parts(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)
