"""Advice from runs that are there already: what restored best in finished studies of the same task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import methods
from ..errors import ArgumentError
from ..infinite import difference
from ..solvers import make_solver, registry
from ..words import number
from .advise import stopping_iteration
from .candidates import Candidate, MethodCandidate
from .extras import require
from .index import Index, RunEntry
from .paired import paired_tests
from .statistics import too_few

if TYPE_CHECKING:
    import pandas

#: Columns of the table that make a combination.
COMBINATION = ("formulation", "phi", "lam_given", "solver", "start")

#: Difference below which a corrected p-value is called clear.
LEVEL = 0.05


@dataclass(frozen=True)
class Precedent:
    """What `advise_from` returns.

    Attributes
    ----------
    chosen : Candidate or MethodCandidate
        The combination, or a method.
    max_iter : int or None
        Iterations to give it; None for a method, which stops by itself.
    sigma : float
        Noise level of the runs, the nearest there was to the one asked for.
    ranking : pandas.DataFrame
        A row a combination, the best first: ``combination``, ``images``, ``psnr`` (mean in dB),
        ``psnr_start``, ``evaluations``, ``seconds``, ``p`` (corrected, against the best), ``verdict``.
    paragraph : str
        The choice in words.
    """

    chosen: Candidate | MethodCandidate
    max_iter: int | None
    sigma: float
    ranking: pandas.DataFrame
    paragraph: str


def advise_from(
    index: Index,
    task: str,
    *,
    sigma: float,
    prior: str | None = None,
    operator: Mapping[str, Any] | None = None,
) -> Precedent:
    """Choose a combination from finished runs of a task, by the PSNR of their images.

    Parameters
    ----------
    index : Index
        Of one or more studies.
    task : str
        Name of the task.
    sigma : float
        Noise level; the runs of the nearest one are taken.
    prior : str, optional
        Only runs with this prior; any unless given.
    operator : mapping, optional
        Options of the task's operator that the runs must have had.

    Returns
    -------
    Precedent

    Raises
    ------
    ArgumentError
        If there is no such run with a known truth, or none that ``flowsolve solve`` can repeat.
    """
    entries = _matching(index, task, prior, operator or {})
    table = index.table[index.table["run"].isin(list(entries))].dropna(subset=["psnr"])
    if table.empty:
        tasks = sorted({_task(entry) for entry in index.runs})
        given = f"no finished run of {task!r} whose truth is known"
        raise ArgumentError(
            "from", given, f"studies of the task; these are of {', '.join(tasks) or 'nothing'}"
        )
    if table["operator"].nunique() > 1:
        given = "runs with the operators " + "; ".join(map(repr, table["operator"].unique()))
        raise ArgumentError("from", given, "runs with one: say which by the options of the task")
    levels = table["sigma"].unique()
    nearest = float(levels[np.abs(levels - sigma).argmin()])
    table = table[table["sigma"] == nearest]
    ranking = _ranking(table, entries)
    able = ranking[ranking["verdict"] != _UNABLE]
    if able.empty:
        raise ArgumentError("from", "runs with options that a command cannot name", "runs of plain solvers")
    best = able.iloc[0]["combination"]
    rows = table[_names(table) == best]
    chosen = _candidate(entries[rows.iloc[0]["run"]])
    ranking.loc[able.index[0], "verdict"] = "chosen"
    max_iter = None if isinstance(chosen, MethodCandidate) else _iterations(rows, entries)
    paragraph = _explain(task, nearest, sigma, table, ranking, able.index[0], max_iter)
    return Precedent(chosen, max_iter, nearest, ranking, paragraph)


_UNABLE = "from Python: the command has no options of solvers"


def _task(entry: RunEntry) -> str:
    return str(entry.parameters.get("task_name", entry.parameters["task"]))


def _matching(index: Index, task: str, prior: str | None, operator: Mapping[str, Any]) -> dict[str, RunEntry]:
    """Return the finished runs of the task, prior and operator by their ids."""

    def fits(entry: RunEntry) -> bool:
        own = entry.parameters.get("operator") or {}
        return (
            entry.status == "finished"
            and _task(entry) == task
            and prior in (None, entry.parameters["prior"])
            and all(own.get(name) == value for name, value in operator.items())
        )

    return {entry.id: entry for entry in index.runs if fits(entry)}


def _names(table: pandas.DataFrame) -> pandas.Series:
    words = [
        row["method"]
        or f"{row['formulation']} {row['phi']}, lam {row['lam_given']}, {row['solver']} from {row['start']}"
        for row in table.to_dict("records")
    ]
    pandas = require("pandas")
    return pandas.Series(words, index=table.index, dtype=object)


def _ranking(table: pandas.DataFrame, entries: Mapping[str, RunEntry]) -> pandas.DataFrame:
    """Return the combinations by their mean PSNR on the images that all of them restored."""
    pandas = require("pandas")
    table = table.assign(combination=_names(table))
    keys = ["image", "measurement"]
    psnr = table.pivot_table(index=keys, columns="combination", values="psnr", aggfunc="mean")
    common = psnr.dropna()
    # Studies of different images have none in common: then each is judged by its own.
    judged = psnr if common.empty else common
    order = judged.mean().sort_values(ascending=False).index.tolist()
    tests = paired_tests(table, "psnr", ["combination"], within=["sigma"], reference=order[0])
    rows = []
    for name in order:
        own = table[table["combination"] == name]
        versus = tests[(tests["better"] == name) | (tests["worse"] == name)]
        p = float(versus["p_holm"].iloc[0]) if name != order[0] and len(versus) else math.nan
        able = all(_plain(entries[run]) for run in own["run"].unique())
        rows.append(
            {
                "combination": name,
                "images": int(judged[name].notna().sum()),
                "psnr": float(judged[name].mean()),
                "psnr_start": float(own["psnr_start"].mean()),
                "evaluations": float(own["evaluations"].mean()),
                "seconds": float(own["seconds"].mean()),
                "p": p,
                "verdict": "" if able else _UNABLE,
            }
        )
    return pandas.DataFrame(rows)


def _plain(entry: RunEntry) -> bool:
    """Return whether the command line can name all of the run."""
    parameters = entry.parameters
    if parameters.get("method"):
        return parameters["method"] in methods.registry
    name, options = parameters["solver_name"], parameters["solver_options"] or {}
    if name not in registry or parameters.get("init", parameters["start"]).startswith("multistart:"):
        return False
    usual = make_solver(name).config()
    single = isinstance(parameters["lam"], int | float) or parameters["lam"] == "map"
    return single and all(usual.get(key, ...) == value for key, value in options.items())


def _candidate(entry: RunEntry) -> Candidate | MethodCandidate:
    parameters = entry.parameters
    if parameters.get("method"):
        return MethodCandidate(str(parameters["method"]))
    lam = parameters["lam"]
    return Candidate(
        formulation=str(parameters["formulation"]),
        phi=str(parameters["phi"]),
        lam=lam if isinstance(lam, str) else repr(float(lam)),
        solver=str(parameters["solver_name"]),
        init=str(parameters.get("init", parameters["start"])),
    )


def _iterations(rows: pandas.DataFrame, entries: Mapping[str, RunEntry]) -> int:
    """Return how many iterations to give, from the mean PSNR along the runs."""
    found = []
    for run in rows["run"].unique():
        trace = entries[run].trace
        found.append(stopping_iteration(trace["iteration"], trace["psnr"].mean(1)))
    return int(np.median(found))


def _explain(
    task: str,
    nearest: float,
    sigma: float,
    table: pandas.DataFrame,
    ranking: pandas.DataFrame,
    place: int,
    max_iter: int | None,
) -> str:
    """Return the choice in words."""
    first = ranking.loc[place]
    words = [
        f"{table['run'].nunique()} finished runs of {task} at sigma {nearest:g} with {len(ranking)} "
        "combinations were compared by the PSNR of their images; values of F with different weights or prior "
        "terms cannot be compared.",
        f"Best is {first['combination']}: {number(first['psnr'])} dB in the mean over "
        f"{first['images']} images, "
        f"{number(difference(first['psnr'], first['psnr_start']), '+.2f')} dB over its start, for "
        f"{first['evaluations']:.0f} evaluations an image.",
    ]
    if not math.isclose(nearest, sigma, rel_tol=1e-6, abs_tol=1e-12):
        words.append(f"There are no runs at sigma {sigma:g}: these are the nearest.")
    if place > 0:
        words.append(f"{ranking.iloc[0]['combination']} is better still, but can only be run {_UNABLE}.")
    others = ranking.drop(index=place)
    close = others[~(others["p"] < LEVEL) & (others["verdict"] != _UNABLE)]
    if len(others):
        second = others.iloc[0]
        if place == 0:
            words.append(f"Next comes {second['combination']} with {number(second['psnr'])} dB.")
        words.append(
            f"{len(close)} of the others cannot be told from the best image by image (Wilcoxon's signed-rank "
            f"test, Holm's correction, level {LEVEL:g})."
        )
        if too_few(int(ranking["images"].min()), len(others), LEVEL):
            words.append("So few images could not show any difference.")
    if max_iter is not None:
        words.append(f"In the mean over images it was best after {max_iter} iterations.")
    return " ".join(words)
