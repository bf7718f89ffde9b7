"""Tables of solvers at equal cost: evaluations to a gap, the hybrid, and the spread over starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import flowsolve as fs

from .reporting import table
from .solver_runs import START, Contender, at, first_at, lowest, objective_of, run

CONTENDERS = {
    "synthesis": [
        Contender("L-BFGS", "lbfgs"),
        Contender("L-BFGS, level units", "lbfgs", {"scaling": "levels"}),
        Contender("hybrid", "hybrid"),
        Contender("nonlinear CG", "nonlinear_cg"),
        Contender("Adam 0.1", "adam", {"lr": 0.1}),
    ],
    "analysis": [
        Contender("L-BFGS, spectral units", "lbfgs"),
        Contender("L-BFGS, no units", "lbfgs", {"scaling": "none"}),
        Contender("hybrid", "hybrid"),
        Contender("nonlinear CG", "nonlinear_cg"),
        Contender("Adam 0.01", "adam", {"lr": 0.01}),
    ],
}

OTHERS = [
    Contender("SciPy L-BFGS-B", "scipy:L-BFGS-B", {"maxcor": 20}, ours=False),
    Contender(
        "torch L-BFGS", "torch:LBFGS", {"line_search_fn": "strong_wolfe", "history_size": 20}, ours=False
    ),
    Contender("Pyxu NLCG", "pyxu:NLCG", {}, ours=False),
]

PHI = {"synthesis": "latent", "analysis": "nll"}
"""The usual φ of each formulation."""

GAP = 1e-3


def evaluations_to_gap(x: torch.Tensor, prior: Any, tasks: list[str], budget: int) -> tuple[dict, str, dict]:
    """Evaluations to a relative gap of 1e-3 to the lowest F that any solver found within the budget."""
    results, curves, rows = {}, {}, []
    for formulation, ours in CONTENDERS.items():
        for task in tasks:
            start = "zeros" if formulation == "synthesis" else START[task]
            traces = {}
            for contender in [*ours, *OTHERS]:
                objective = objective_of(task, formulation, PHI[formulation], x, prior)
                traces[contender.title] = run(objective, contender, start, evaluations=budget)
            best = np.min([lowest(trace) for trace in traces.values()], 0)
            target = best + GAP * np.abs(best)
            entry = {}
            for title, trace in traces.items():
                took = first_at(trace, target, "evaluations")
                curves[f"{task}/{formulation}/{title}"] = _curve(trace)
                entry[title] = {
                    "evaluations": took,
                    "gap": (lowest(trace) - best) / np.abs(best),
                    "best_psnr": trace["psnr"].max(0),
                    "last_psnr": trace["psnr"][-1],
                }
            results[f"{task}/{formulation}"] = entry
            cells = [_cell(entry[c.title], budget) for c in [*ours, *OTHERS]]
            rows.append([task, formulation, *cells])
            print(rows[-1], flush=True)
    pairs = zip(*CONTENDERS.values(), strict=True)
    titles = [a.title if a.title == b.title else f"{a.title} / {b.title}" for a, b in pairs]
    return results, table(["task", "formulation", *titles, *(c.title for c in OTHERS)], rows), curves


def _cell(entry: dict[str, np.ndarray], budget: int) -> str:
    """Return the median of evaluations, or of the gap that was left where the budget ended first."""
    median = np.median(entry["evaluations"])
    if np.isfinite(median):
        return f"{median:.0f}"
    return f">{budget} ({np.median(entry['gap']):.1%})"


def _curve(trace: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: trace[name].mean(1) for name in ("evaluations", "value", "psnr")}


def hybrid(x: torch.Tensor, prior: Any, tasks: list[str], budget: int = 200) -> tuple[dict, str]:
    """F of the hybrid, of L-BFGS over images and over latents after as many evaluations, from z = 0."""
    results, rows = {}, []
    for phi in ("latent", "nll"):
        for task in tasks:
            final = {}
            for name, formulation, solver in (
                ("images", "analysis", "lbfgs"),
                ("latents", "synthesis", "lbfgs"),
                ("hybrid", "synthesis", "hybrid"),
            ):
                objective = objective_of(task, formulation, phi, x, prior)
                final[name] = at(run(objective, Contender(name, solver), "zeros", evaluations=budget), budget)
            lower = np.minimum(final["images"], final["latents"])
            excess = (final["hybrid"] - lower) / np.abs(lower)
            results[f"{task}/{phi}"] = {**final, "excess": excess}
            means = [f"{final[name].mean():.5g}" for name in ("images", "latents", "hybrid")]
            rows.append([phi, task, *means, f"{np.median(excess):+.1%}", f"{excess.max():+.1%}"])
            rows[-1].append(f"{(excess < 0).sum()} of {len(excess)}")
            print(rows[-1], flush=True)
    header = ["φ", "task", "images", "latents", "hybrid", "to the lower: median", "worst", "strictly lower"]
    return results, table(header, rows)


STARTS = (("zeros", 0), ("random", 1), ("random", 2), ("adjoint", 0))
"""Starts and their seeds, beside the classical image of the task."""


def starts(x: torch.Tensor, prior: Any, tasks: list[str], budget: int) -> tuple[dict, str]:
    """Spread of final F and PSNR over five starts: `STARTS` and the task's classical image."""
    results, rows = {}, []
    for task in tasks:
        for formulation, contenders in CONTENDERS.items():
            for contender in contenders[:1] + contenders[2:3] + contenders[4:]:
                values, psnrs = [], []
                for start, seed in (
                    ("zeros", 0),
                    ("random", 1),
                    ("random", 2),
                    (START[task], 0),
                    ("adjoint", 0),
                ):
                    objective = objective_of(task, formulation, PHI[formulation], x, prior)
                    result = fs.solve(
                        objective, contender.solver, start, seed=seed, max_iter=None,
                        max_evaluations=budget, rtol=None, **contender.options,
                    )  # fmt: skip
                    values.append(result.value)
                    psnrs.append(fs.psnr(result.x, x.to(result.x)))
                value, psnr = np.array(values), np.array([np.asarray(p) for p in psnrs])
                results[f"{task}/{formulation}/{contender.title}"] = {"value": value, "psnr": psnr}
                by_start = value.mean(1), psnr.mean(1)
                cells = [" / ".join(f"{f(v):.5g}" for f in (np.min, np.median, np.max)) for v in by_start]
                rows.append([task, formulation, contender.title, *cells])
                print(rows[-1], flush=True)
    return results, table(["task", "formulation", "solver", "F: min / median / max", "PSNR: same"], rows)
