"""What a study says, in words: which method for which problem, what F is worth, what start and weight do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..baselines import ORACLES
from ..errors import ArgumentError
from ..infinite import span
from ..words import number
from .classical import classical_means, classical_table
from .contenders import SETTING, contenders, starts
from .curves import Curve, read_curves
from .explaining import counted
from .index import Index
from .initialisation import SAME_BUT_START, THRESHOLD, sensitivity_to_lam, solutions
from .objective_and_image import GROUP, agreement, agreement_summary
from .paired import FAMILY
from .statistics import too_few
from .statuses import failure_table, status_table
from .targets import ObjectiveGap, cost_to_target

if TYPE_CHECKING:
    import pandas

#: Corrected p-value under which a difference is called clear.
LEVEL = 0.05

#: Rank correlation of F and PSNR above which a lower F mostly means a better image.
AGREES = 0.5

#: What the runs of a problem that differ in their start end at; see `solutions`.
ENDED = ("runs", "basins", "image_distance", "latent_distance")

#: Methods that are named, of those that reach the lowest F.
NAMED = 3


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes
    ----------
    question : str
        The question.
    text : str
        A sentence or a few, each on a line of its own.
    table : pandas.DataFrame
        The numbers behind it; may be empty.
    """

    question: str
    text: str
    table: pandas.DataFrame


def answers(
    index: Index, *, axis: str = "evaluations", tau: float = 1e-2, threshold: float = THRESHOLD
) -> list[Answer]:
    """Return what a study answers; questions that it has no runs for are left out.

    Parameters
    ----------
    index : Index
        The study.
    axis : str
        Cost that solvers are compared on.
    tau : float
        Gap to the lowest F that counts as solved, see `ObjectiveGap`.
    threshold : float
        Distance at which two solutions are two basins, see `flowsolve.studies.initialisation`.

    Raises
    ------
    ArgumentError
        If no run has an iteration yet, or an option has a bad value.
    """
    curves = read_curves(index)
    if not curves:
        raise ArgumentError("study", "no run with an iteration", "a study that was run")
    found = [
        best_images(index),
        fastest_descents(index, curves, axis, tau),
        worth_of_the_objective(index),
        effect_of_the_start(index, threshold),
        effect_of_the_weight(index),
        ends(index),
    ]
    return [answer for answer in found if answer is not None]


def best_images(index: Index) -> Answer | None:
    """Which combination restores best, task by task, and how far the other solvers and formulations are."""
    table = contenders(index.table)
    said = _Words(index.table)
    beside = classical_means(classical_table(index))
    first, ahead = table.drop_duplicates(list(FAMILY)), {}
    for key, psnr in zip(
        first[list(FAMILY[:-1])].itertuples(index=False, name=None), first["psnr"], strict=True
    ):
        best = next(((name, db) for name, db in beside.get(key, ()) if name not in ORACLES), None)
        if best is not None and best[1] > psnr:
            ahead[key] = best[0]
    words = _most_often(first, list(ahead.values()))
    for key, own in table.groupby(list(FAMILY), sort=False, dropna=False):
        best = own.iloc[0]
        line = f"{_task(key)}: {said.combination(best)}, {number(best['psnr'])} dB"
        if key[:-1] in ahead:
            line = (
                f"{_task(key)}: the classical {ahead[key[:-1]]} is better than every run; best of them is "
                f"{said.combination(best)}, {number(best['psnr'])} dB"
            )
        others = [f"{said.combination(row)} {_under(row)}" for row in own.iloc[1:].to_dict("records")]
        if others:
            line += f"; others at their best: {', '.join(others)} dB"
        if too_few(int(own["images"].min()), len(others), LEVEL):
            line += f" ({best['images']} images could not show any difference)"
        classical = [f"{name} {number(db)} dB" for name, db in beside.get(key[:-1], ())]
        if classical:
            line += f"; classical: {', '.join(classical)}"
        words.append(line + ".")
    words.append(
        "(Means over images, and medians of the differences; * worse by Wilcoxon's signed-rank test image by "
        f"image, Holm's correction, level {LEVEL:g}. Solvers and formulations at their best: with the start, "
        "weight and prior term that suit them best on these images.)"
    )
    return _answer("Which solver for which problem?", "\n".join(words), table)


def fastest_descents(index: Index, curves: Sequence[Curve], axis: str, tau: float) -> Answer | None:
    """Which solver reaches the lowest F first, objective by objective."""
    rows, words = [], []
    columns = tuple(name for name in GROUP if name != "lam_given")
    groups: dict[tuple[object, ...], list[Curve]] = {}
    for curve in curves:
        # The last stages of two methods minimise two functions.
        if not curve.row["method"]:
            groups.setdefault(tuple(curve.row[name] for name in columns), []).append(curve)
    for key, own in groups.items():
        summary = cost_to_target(own, ObjectiveGap(tau), axis, index=index).summary()
        if len(summary) < 2:
            continue
        rows += [{**dict(zip(columns, key, strict=True)), **row} for row in summary.to_dict("records")]
        named = [
            f"{row['method']} ({row['share']:.0%}, {row['cost_median']:.4g} {axis})"
            if np.isfinite(row["cost_median"])
            else f"{row['method']} ({row['share']:.0%})"
            for row in summary.to_dict("records")
            if row["solved"] > 0
        ]
        never = len(summary) - len(named)
        words.append(
            f"{_task(key)}, {_space(key[4])}: {', then '.join(named[:NAMED])}"
            + (f"; the other {never} never" if never else "")
            + "."
        )
    text = "\n".join(
        [
            *words,
            f"(Until F has come {1 - tau:.4g} of the way from the start to the lowest that any method found: "
            "share of images, median cost.)",
        ]
    )
    return _answer("Which solver is the fastest?", text, rows)


def worth_of_the_objective(index: Index) -> Answer | None:
    """Whether a lower F means a better image, objective by objective."""
    summary = agreement_summary(agreement(_of_one_solver(index)))
    words = [
        f"{_task((row['task'], row['operator'], row['sigma']))}, {_space(row['formulation'])} ({row['phi']}, "
        f"lam {row['lam_given']}): rank correlation {number(row['correlation'], '+.2f')}; the run of "
        f"lowest F is {number(row['regret'])} dB under the best one and {number(row['overshoot'])} dB under "
        "its own peak."
        for row in summary.to_dict("records")
    ]
    known = summary["correlation"].dropna()
    if len(known) > 1:
        words.insert(
            0,
            f"Mostly yes on {(known > AGREES).sum()} of {len(known)} objectives (rank correlation above "
            f"{AGREES:g}); to choose the run of lowest F costs up to {number(summary['regret'].max())} dB.",
        )
    return _answer("Does a lower F mean a better image?", "\n".join(words), summary)


def effect_of_the_start(index: Index, threshold: float) -> Answer | None:
    """What the start does to the image, the latent and the basin that solvers end at."""
    table = starts(_of_one_solver(index))
    if table.empty:
        return None
    ended = solutions(index, (*SAME_BUT_START, "lam_given"), threshold)
    reached = ended.groupby(list(SETTING), sort=False, dropna=False)[list(ENDED)].mean().reset_index()
    table = table.merge(reached, on=list(SETTING), how="left", suffixes=("", "_ended"))
    words = []
    several = table[table.duplicated(list(SETTING), keep=False)]
    for formulation, own in several.groupby("formulation", sort=False):
        first = own[own["under"].isna()]["start"].value_counts()
        counts = [f"{start} in {count}" for start, count in first.items()]
        words.append(
            f"{_space(formulation).capitalize()} the best start is {', '.join(counts)} of {first.sum()} "
            "pairs of problem and solver."
        )
    for key, own in table.groupby([n for n in SETTING if n != "solver"], sort=False, dropna=False):
        row = own.iloc[0]
        words.append(
            f"{_task(key)}, {_space(row['formulation'])} ({row['phi']}, lam {row['lam_given']}): "
            f"{_best_starts(own)}{_losses(own)}{_basins(own)}."
        )
    words.append(
        "(Medians over images, from solver to solver; * worse with every solver by Wilcoxon's signed-rank "
        f"test, Holm's correction, level {LEVEL:g}. Basins: clusters of the last latents at a relative "
        f"distance of {threshold:g}; a run that was stopped early can be one of its own.)"
    )
    return _answer("What does the start do?", "\n".join(words), table)


def effect_of_the_weight(index: Index) -> Answer | None:
    """How much the weight of the prior matters."""
    table = sensitivity_to_lam(_of_one_solver(index))
    words = []
    for key, own in table.groupby(["task", "operator", "sigma", "formulation", "phi"], sort=False):
        best, lost = [], []
        for _, weights in own.groupby(["prior", "solver", "start"], sort=False):
            best.append(f"{weights.loc[weights['psnr'].idxmax(), 'lam']:.3g}")
            lost.append(span(weights["psnr"]))
        counts = Counter(best).most_common()
        named = ", ".join(f"{lam} in {count}" for lam, count in counts)
        words.append(
            f"{_task(key)}, {_space(key[3])} ({key[4]}): the best weight is {named} of {len(best)} pairs of "
            f"solver and start; the worst one costs {_range(lost)} dB."
        )
    return _answer("How much does the weight matter?", "\n".join(words), table)


def ends(index: Index) -> Answer:
    """How runs ended and what failed."""
    failures = failure_table(index)
    statuses = index.table["status"].value_counts()
    words = {"running": "still running"}
    text = ", ".join(
        f"{counted(count, 'image')} {words.get(str(status), f'ended {status}')}"
        for status, count in statuses.items()
    )
    text += "."
    waiting = len(index.waiting)
    text += f" {counted(len(index.failed), 'cell')} failed, {waiting or 'none'} still to be run."
    for row in failures.head(3).to_dict("records"):
        text += f" {row['cells']} × {row['error']}: {row['message']}"
    return Answer("How did the runs end?", text, status_table(index.table).reset_index())


def _of_one_solver(index: Index) -> pandas.DataFrame:
    """Return the rows of runs that have one objective, one start and one weight: those of no method."""
    return index.table[index.table["method"] == ""]


def _answer(question: str, text: str, rows: list[dict[str, object]] | pandas.DataFrame) -> Answer | None:
    from .extras import require

    table = require("pandas").DataFrame(rows)
    return Answer(question, text.strip(), table) if len(table) else None


class _Words:
    """Names combinations, without what is the same in all of a study.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of an index's table.
    """

    def __init__(self, table: pandas.DataFrame) -> None:
        # Where each formulation has its own, the prior term says nothing that the formulation does not.
        self.phi = bool(table.groupby("formulation")["phi"].nunique().max() > 1)
        self.lam = table.loc[table["formulation"] != "", "lam_given"].nunique() > 1

    def combination(self, row: Mapping[str, Any] | pandas.Series) -> str:
        """Return a combination in words."""
        if row["formulation"] == "":
            return str(row["solver"])
        extra = [str(row["phi"])] * self.phi + [f"lam {row['lam_given']}"] * self.lam
        bracket = f" ({', '.join(extra)})" if extra else ""
        return f"{row['solver']} {_space(row['formulation'])} from {row['start']}{bracket}"


def _most_often(best: pandas.DataFrame, ahead: Sequence[str]) -> list[str]:
    """Return in a line how often each solver and each formulation is the best one, of several tasks.

    `ahead` names the classical restorations that are better than every run, one for each task that has one.
    """
    if len(best) < 2:
        return []
    solvers = [f"{name} on {count}" for name, count in best["solver"].value_counts().items()]
    spaces = [f"{_space(name)} on {count}" for name, count in best["formulation"].value_counts().items()]
    but = f", but classical restorations are better on {len(ahead)}: {', '.join(ahead)}" if ahead else ""
    of = "Best of the runs" if ahead else "Best"
    return [f"{of} is {', '.join(solvers)} of {len(best)} tasks; {', '.join(spaces)}{but}."]


def _task(key: Sequence[Any]) -> str:
    """Return task, operator and noise, of which a key begins with."""
    return f"{' '.join(str(part) for part in key[:2] if part)} (sigma {key[2]:g})"


def _space(formulation: object) -> str:
    """Return what a formulation searches."""
    words = {"analysis": "over images", "synthesis": "over latents", "": "methods"}
    return words.get(str(formulation), str(formulation))


def _under(row: Mapping[str, Any]) -> str:
    """Return how many dB a method lies under the best one, with a star where that is clear."""
    return number(0.0 - row["under"], "+.2f") + ("*" if row["p_holm"] < LEVEL and row["under"] > 0 else "")


def _best_starts(own: pandas.DataFrame) -> str:
    """Return which start is best with which solver."""
    best = own[own["under"].isna()]
    if own["start"].nunique() == 1:
        return f"from {own['start'].iloc[0]} alone"
    groups = best.groupby("start", sort=False)["solver"].agg(", ".join)
    if len(groups) == 1:
        return f"{groups.index[0]} is best" + (" with every solver" if len(best) > 1 else "")
    return "; ".join(f"{start} is best with {solvers}" for start, solvers in groups.items())


def _losses(own: pandas.DataFrame) -> str:
    """Return what starts cost that are not the best with every solver, and how far their seeds are apart."""
    said = []
    for start, rows in own.groupby("start", sort=False):
        behind = rows.dropna(subset=["under"])
        if len(behind):
            clear = "*" if len(behind) == len(rows) and (behind["p_holm"] < LEVEL).all() else ""
            said.append(f"{start} costs {_range(rows['under'].fillna(0.0))} dB{clear}")
        if rows["seeds"].notna().any():
            said.append(f"seeds of {start} lie {_range(rows['seeds'].dropna())} dB apart")
    return "".join(f"; {text}" for text in said)


def _basins(own: pandas.DataFrame) -> str:
    """Return into how many basins the runs of a problem fall."""
    found = own.drop_duplicates("solver").dropna(subset=["basins"])
    if found.empty:
        return ""
    return f"; {found['runs'].max():.0f} runs end in {_range(found['basins'], 1)} basins"


def _range(values: Sequence[float] | pandas.Series, digits: int = 2) -> str:
    """Return the smallest and the largest of some numbers, once if they look the same."""
    low, high = number(min(values), f".{digits}f"), number(max(values), f".{digits}f")
    return low if low == high else f"{low} to {high}"
