"""What a study says, in words: which method for which problem, what F is worth, what start and weight do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError
from .curves import Curve, read_curves
from .index import Index
from .initialisation import SAME_BUT_START, THRESHOLD, sensitivity_to_lam, solutions, spread
from .objective_and_image import GROUP, agreement, agreement_summary
from .paired import paired_tests
from .statistics import too_few
from .statuses import failure_table, status_table
from .targets import ObjectiveGap, cost_to_target

if TYPE_CHECKING:
    import pandas

#: What makes a way to restore an image.
COMBINATION = ("formulation", "phi", "lam_given", "solver", "start")

#: What a task is, with its noise.
TASK = ("task", "operator", "sigma", "prior")

#: Corrected p-value under which a difference is called clear.
LEVEL = 0.05


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
    """Which combination restores best, task by task: the highest mean PSNR, and how sure that is."""
    rows, words = [], []
    table = index.table.dropna(subset=["psnr"])
    for key, own in table.groupby(list(TASK), sort=False):
        psnr = own.pivot_table(
            index=["image", "measurement"], columns=list(COMBINATION), values="psnr", aggfunc="median"
        )
        mean = psnr.dropna().mean() if len(psnr.dropna()) else psnr.mean()
        mean = mean.sort_values(ascending=False)
        name = " ".join(str(part) for part in key[:2] if part)
        best = _combination(mean.index[0])
        tests = paired_tests(own, "psnr", COMBINATION, within=TASK, reference=_label(mean.index[0]))
        tied = sum(~(tests["p_holm"] < LEVEL))
        rows.append(
            {**dict(zip(TASK, key, strict=True)), **dict(zip(COMBINATION, mean.index[0], strict=True))}
        )
        rows[-1] |= {
            "psnr": mean.iloc[0],
            "images": len(psnr),
            "not_clearly_worse": tied,
            "of": len(mean) - 1,
        }
        words.append(
            f"{name} (sigma {key[2]:g}): {best}, {mean.iloc[0]:.2f} dB; {tied} of the {len(mean) - 1} others "
            "cannot be told from it."
        )
        if too_few(len(psnr), len(mean) - 1, LEVEL):
            words[-1] += f" {len(psnr)} images could not show any difference."
    text = (
        "\n".join(words) + f"\n(Wilcoxon's signed-rank test on images, Holm's correction, level {LEVEL:g}.)"
    )
    return _answer("Which combination restores best?", text, rows)


def fastest_descents(index: Index, curves: Sequence[Curve], axis: str, tau: float) -> Answer | None:
    """Which solver reaches the lowest F first, objective by objective."""
    rows, words = [], []
    columns = tuple(name for name in GROUP if name != "lam_given")
    groups: dict[tuple[object, ...], list[Curve]] = {}
    for curve in curves:
        groups.setdefault(tuple(curve.row[name] for name in columns), []).append(curve)
    for key, own in groups.items():
        summary = cost_to_target(own, ObjectiveGap(tau), axis, index=index).summary()
        if len(summary) < 2:
            continue
        first = summary.iloc[0]
        rows += [{**dict(zip(columns, key, strict=True)), **row} for row in summary.to_dict("records")]
        words.append(
            f"{key[0]}, {key[4]} {key[5]}: {first['method']} ({first['share']:.0%} solved, median "
            f"{first['cost_median']:.4g} {axis})."
        )
    text = f"To within {tau:g} of the lowest F that any method found:\n" + "\n".join(words)
    return _answer("Which solver is the fastest?", text, rows)


def worth_of_the_objective(index: Index) -> Answer | None:
    """Whether a lower F means a better image, objective by objective."""
    summary = agreement_summary(agreement(index.table))
    words = [
        f"{row['task']}, {row['formulation']} {row['phi']}, lam {row['lam_given']}: rank correlation "
        f"{row['correlation']:+.2f}, the run of lowest F is {row['regret']:.2f} dB under the best one and "
        f"{row['overshoot']:.2f} dB under its own peak."
        for row in summary.to_dict("records")
    ]
    return _answer("Does a lower F mean a better image?", "\n".join(words), summary)


def effect_of_the_start(index: Index, threshold: float) -> Answer | None:
    """What the start does to F, the image and the latent that a solver ends at."""
    spreads = spread(index.table)
    if spreads.empty:
        return None
    found = spreads.merge(solutions(index, threshold=threshold), on=list(SAME_BUT_START), how="left")
    rows, words = [], []
    columns = ["task", "sigma", "formulation", "phi", "solver"]
    for key, own in found.groupby(columns, sort=False):
        best, share = _most(own["best_start"])
        row = {
            "problems": len(own),
            "psnr_range": own["psnr_range"].median(),
            "image_distance": own["image_distance"].median(),
            "latent_distance": own["latent_distance"].median(),
            "basins": own["basins"].mean(),
            "runs": own["runs_x"].mean(),
            "best_start": best,
            "best_share": share,
        }
        rows.append({**dict(zip(columns, key, strict=True)), **row})
        words.append(
            f"{key[0]}, {key[2]} {key[3]}, {key[4]}: PSNR differs by {row['psnr_range']:.2f} dB between "
            f"starts, {row['runs']:.0f} runs end in {row['basins']:.1f} basins; {best} is best on "
            f"{share:.0%}."
        )
    text = "\n".join(words) + f"\n(Medians over images; basins at a relative distance of {threshold:g}.)"
    return _answer("What does the start do?", text, rows)


def effect_of_the_weight(index: Index) -> Answer | None:
    """How much the weight of the prior matters."""
    table = sensitivity_to_lam(index.table)
    words = []
    for key, own in table.groupby(["task", "formulation", "phi", "solver", "start"], sort=False):
        best, worst = own.loc[own["psnr"].idxmax()], own.loc[own["psnr"].idxmin()]
        words.append(
            f"{key[0]}, {key[1]} {key[2]}, {key[3]} from {key[4]}: best at {best['lam']:.3g}, "
            f"{best['psnr'] - worst['psnr']:.2f} dB over {worst['lam']:.3g}."
        )
    return _answer("How much does the weight matter?", "\n".join(words), table)


def ends(index: Index) -> Answer:
    """How runs ended and what failed."""
    failures = failure_table(index)
    statuses = index.table["status"].value_counts()
    text = ", ".join(f"{count} images ended {status}" for status, count in statuses.items()) + "."
    text += f" {len(index.failed)} cells failed, {len(index.waiting)} have not been run."
    for row in failures.head(3).to_dict("records"):
        text += f" {row['cells']} × {row['error']}: {row['message']}"
    return Answer("How did the runs end?", text, status_table(index.table).reset_index())


def _answer(question: str, text: str, rows: list[dict[str, object]] | pandas.DataFrame) -> Answer | None:
    from .extras import require

    table = require("pandas").DataFrame(rows)
    return Answer(question, text.strip(), table) if len(table) else None


def _combination(key: Sequence[object]) -> str:
    formulation, phi, lam, solver, start = key
    return f"{formulation} {phi}, lam {lam}, {solver} from {start}"


def _label(key: Sequence[object]) -> str:
    from .curves import label

    return label(dict(zip(COMBINATION, key, strict=True)), COMBINATION)


def _most(values: pandas.Series) -> tuple[str, float]:
    """Return the most frequent value and its share."""
    counts = values.value_counts(normalize=True)
    return (str(counts.index[0]), float(counts.iloc[0])) if len(counts) else ("-", np.nan)
