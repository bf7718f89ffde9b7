"""The seed's question: was analysis better than synthesis, or was it the optimiser.

Same prior, images and objective: F_analysis(D(z)) = F_synthesis(z) with φ = ``latent`` and with ``nll``, and
a number for λ, so that neither formulation has a hard constraint. Each is solved with the seed's Adam
(learning rate 0.1) and with our L-BFGS, from D(0) and from a classical restoration, and looked at after an
equal number of evaluations and at the end. Paired Wilcoxon tests, one pair an image::

    python -m benchmarks.analysis_or_synthesis --images 16 --evaluations 100 --max-evaluations 400
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import rankdata, wilcoxon

import flowsolve as fs
from flowsolve.initialise import make_start
from flowsolve.objectives import FORMULATIONS

from .face_tasks import FACE_TASKS, FIVE
from .initialisation import CLASSICAL
from .reporting import faces, parser, save, spread, table

NAME = "analysis_or_synthesis"
SOLVERS: dict[str, dict[str, dict[str, Any]]] = {
    "adam 0.1": {"synthesis": {"lr": 0.1}, "analysis": {"lr": 0.1}},
    "adam, image rate 0.01": {"synthesis": {"lr": 0.1}, "analysis": {"lr": 0.01}},
    "lbfgs": {"synthesis": {}, "analysis": {}},
}
"""Options of each solver in each formulation. Steps of 0.1 are large for images in [0, 1]: the seed's code
clips what the flow sees, without which Adam soon diverges; so it is run at a rate that suits images too."""

PHIS = ("latent", "nll")
STARTS = ("D(0)", "classical")
FORMULATIONS_COMPARED = ("synthesis", "analysis")
NOISELESS_LAM = 1e-4
"""Weight where σ = 0: MAP for σ = 0.014, as synthesis takes it."""


def trace_of(
    task: str,
    phi: str,
    formulation: str,
    solver: str,
    start: str,
    x: torch.Tensor,
    prior: Any,
    evaluations: int,
) -> dict[str, Any]:
    """Return evaluations, F and PSNR of every iteration, (iterations + 1, N), and the ends."""
    problem = FACE_TASKS[task].problem(x)
    lam: float | str = "map" if problem.sigma else NOISELESS_LAM
    objective = FORMULATIONS[formulation](problem, prior, phi=phi, lam=lam)
    made = make_start("zeros" if start == "D(0)" else CLASSICAL[task], problem, prior)
    result = fs.solve(
        objective,
        solver.split()[0].rstrip(","),
        made,
        max_iter=None,
        max_evaluations=evaluations,
        rtol=1e-6 if solver == "lbfgs" else None,
        **SOLVERS[solver][formulation],
    )
    return {
        "evaluations": result.trace["evaluations"],
        "value": result.trace["value"],
        "psnr": result.trace["psnr"],
        "status": result.status,
        "seconds": result.seconds,
    }


def at_cost(trace: dict[str, Any], key: str, evaluations: int) -> np.ndarray:
    """Return a column at the last iteration that each image reached within the cost, (N,)."""
    within = trace["evaluations"] <= evaluations
    last = np.maximum(within.sum(0) - 1, 0)
    return trace[key][last, np.arange(within.shape[1])]


def paired(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Compare two methods image by image.

    Returns
    -------
    dict
        ``difference``, the median of a − b; ``p`` of Wilcoxon's signed-rank test, two-sided; ``effect``, the
        rank-biserial correlation in [−1, 1] (Kerby, "The simple difference formula", Compr. Psychol. 2014).
    """
    difference = a - b
    nonzero = difference[difference != 0]
    if not len(nonzero):
        return {"difference": 0.0, "p": 1.0, "effect": 0.0}
    ranks = rankdata(np.abs(nonzero))
    effect = (ranks[nonzero > 0].sum() - ranks[nonzero < 0].sum()) / ranks.sum()
    return {
        "difference": float(np.median(difference)),
        "p": float(wilcoxon(nonzero).pvalue),
        "effect": float(effect),
    }


def key_of(run: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """Return what tells runs apart."""
    return run["task"], run["phi"], run["solver"], run["start"], run["formulation"]


def comparisons(runs: list[dict[str, Any]], cost: int, limit: int) -> list[dict[str, Any]]:
    """Return synthesis beside analysis: each solver and start, and each formulation's best start.

    The start is an option of a method like any other; the pair of best starts, by mean PSNR, asks which
    formulation wins when both may choose.
    """
    table_of = {key_of(run): run["trace"] for run in runs}
    cases = sorted({key[:3] for key in table_of})
    rows = []
    for task, phi, solver in cases:
        for when, evaluations in (("equal cost", cost), ("end", limit)):
            found = {
                (start, formulation): at_cost(
                    table_of[task, phi, solver, start, formulation], "psnr", evaluations
                )
                for start in STARTS
                for formulation in FORMULATIONS_COMPARED
            }
            best = {
                f: max(STARTS, key=lambda start, f=f: float(found[start, f].mean()))
                for f in FORMULATIONS_COMPARED
            }
            pairs = [(s, s, s) for s in STARTS] + [("best of each", best["synthesis"], best["analysis"])]
            for label, first, second in pairs:
                a, b = found[first, "synthesis"], found[second, "analysis"]
                rows.append(
                    {
                        "task": task,
                        "phi": phi,
                        "solver": solver,
                        "start": label,
                        "when": when,
                        "evaluations": evaluations,
                        "synthesis": a,
                        "analysis": b,
                        **paired(a, b),
                    }
                )
    return rows


def figure(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw mean PSNR against evaluations, a column for each task and a row for each φ."""
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    phis = list(dict.fromkeys(run["phi"] for run in runs))
    page = Figure(figsize=(max(8, 3.2 * len(tasks)), 1 + 2.8 * len(phis)), layout="constrained")
    axes = page.subplots(len(phis), len(tasks), squeeze=False)
    colours = dict(zip(FORMULATIONS_COMPARED, ("tab:blue", "tab:orange"), strict=True))
    lines, widths = (
        dict(zip(SOLVERS, (":", "--", "-"), strict=True)),
        dict(zip(STARTS, (1.8, 0.9), strict=True)),
    )
    for run in runs:
        axis = axes[phis.index(run["phi"]), tasks.index(run["task"])]
        cost = np.unique(run["trace"]["evaluations"].max(1))
        label = f"{run['formulation']}, {run['solver']}, {run['start']}"
        style = {
            "color": colours[run["formulation"]],
            "linestyle": lines[run["solver"]],
            "linewidth": widths[run["start"]],
        }
        axis.plot(cost, [at_cost(run["trace"], "psnr", c).mean() for c in cost], label=label, **style)
        axis.set_title(f"{run['task']}, {run['phi']}", fontsize=9)
    for axis in axes[:, 0]:
        axis.set_ylabel("PSNR (dB)")
    for axis in axes[-1]:
        axis.set_xlabel("evaluations")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.savefig(path, dpi=130)


def report(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    lines = [
        [
            row["task"],
            row["phi"],
            row["solver"],
            row["start"],
            f"{row['when']} ({row['evaluations']})",
            spread(row["synthesis"]),
            spread(row["analysis"]),
            f"{row['difference']:+.2f}",
            f"{row['p']:.2g}",
            f"{row['effect']:+.2f}",
        ]
        for row in rows
    ]
    head = ["task", "φ", "solver", "start", "after evaluations", "synthesis", "analysis", "median difference"]
    ends = [[*key_of(run), *_end(run["trace"])] for run in runs]
    about = (
        "PSNR in dB, mean ± population standard deviation. Differences are synthesis − analysis, image by "
        "image; p of Wilcoxon's signed-rank test (two-sided, not corrected for the number of rows), effect "
        "the rank-biserial correlation. F is the same function in both formulations."
    )
    end_head = ["task", "φ", "solver", "start", "formulation", "F at the end", "PSNR", "best PSNR on the way"]
    return "\n\n".join(
        [
            "# Analysis or synthesis",
            about,
            table([*head, "p", "effect"], lines),
            "![PSNR against evaluations](analysis_or_synthesis.png)",
            "## Ends",
            table([*end_head, "evaluations", "ended"], ends),
        ]
    )


def _end(trace: dict[str, Any]) -> list[str]:
    psnr = trace["psnr"]
    means = [f"{np.mean(trace['value'][-1]):.5g}", f"{np.mean(psnr[-1]):.2f}", f"{np.mean(psnr.max(0)):.2f}"]
    return [*means, f"{np.mean(trace['evaluations'][-1]):.0f}", ", ".join(sorted(set(trace["status"])))]


def main(arguments: list[str] | None = None) -> int:
    """Run all, save after each task, print."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=16, help="test images")
    made.add_argument("--evaluations", type=int, default=100, help="what counts as equal cost")
    made.add_argument("--max-evaluations", type=int, default=400, help="where runs end that do not converge")
    made.add_argument("--prior", default="faces64", help="name or file")
    made.add_argument("--task", action="append", choices=list(FACE_TASKS), help="default: the seed's five")
    made.add_argument("--phi", action="append", choices=PHIS, help="default: both")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x, prior = faces(options.data, "celeba64-test50.zip", options.images), fs.load_prior(options.prior)
    runs: list[dict[str, Any]] = []
    for task in options.task or FIVE:
        runs += runs_of(task, x, prior, options)
        rows = comparisons(runs, options.evaluations, options.max_evaluations)
        figure(runs, options.out / f"{NAME}.png")
        results = {"comparisons": rows, "runs": [ends_of(run) for run in runs]}
        save(NAME, options, results, report(rows, runs), quiet=True)
    print(report(rows, runs))
    return 0


def ends_of(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run with the ends of its trace, image by image, and no more: the figure has the curves."""
    trace = run["trace"]
    ends = {key: np.asarray(trace[key])[-1] for key in ("evaluations", "value", "psnr")}
    peak = np.asarray(trace["psnr"]).max(0)
    return {**run, "trace": {**ends, "peak": peak, "status": trace["status"], "seconds": trace["seconds"]}}


def runs_of(task: str, x: torch.Tensor, prior: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return all runs of a task."""
    found: list[dict[str, Any]] = []
    known: dict[str, Any] = {}
    for phi in options.phi or PHIS:
        for solver in SOLVERS:
            for start in STARTS:
                for formulation in FORMULATIONS_COMPARED:
                    limit = options.max_evaluations
                    # Over latents both rates of Adam are the same one.
                    same = f"{phi} {start} {formulation} {SOLVERS[solver][formulation]}"
                    if same not in known:
                        known[same] = trace_of(task, phi, formulation, solver, start, x, prior, limit)
                    trace = known[same]
                    about = {"task": task, "phi": phi, "solver": solver, "start": start}
                    found.append({**about, "formulation": formulation, "trace": trace})
                    print(*key_of(found[-1]), f"{np.mean(trace['psnr'][-1]):.2f} dB", flush=True)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
