"""Which objective, start and stop restore best: PSNR along runs, and where each rule would have stopped them.

A lower F is not always a better image. Each run goes on to its budget; its trace says what PSNR it had when
F was lowest, when the residual was what the noise accounts for (discrepancy), and at its highest, which only
the truth can tell. Early stopping by measurements held out needs a run of its own, that does not fit them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve.fidelities import HeldOutLeastSquares

from .face_tasks import FACE_TASKS
from .reporting import table
from .solver_runs import NOISELESS, START, Contender, run

CLASSICAL = "classical"
"""The task's classical image, `solver_runs.START`."""

PRIORS = {"synthesis": "faces64-additive", "analysis": "faces64"}
"""The prior that is better in each space."""

LEVELS = Contender("L-BFGS, level units", "lbfgs", {"scaling": "levels"})
CONTINUATION = Contender(
    "λ-continuation 100, 10, 1", "continuation", {"inner": {"name": "lbfgs", "options": {}}}
)
ADAM = Contender(
    "Adam, falling step", "adam", {"lr": 0.02, "beta2": 0.99, "schedule": "cosine", "horizon": 100}
)


@dataclass(frozen=True)
class Way:
    """One way to restore: formulation, φ, start, solver, and its number of evaluations if not the usual."""

    formulation: str
    phi: str
    start: str
    contender: Contender
    budget: int | None = None

    @property
    def title(self) -> str:
        """Name in tables."""
        return f"{self.formulation}, {self.phi}, from {self.start}, {self.contender.title}"


WAYS = (
    Way("synthesis", "latent", "zeros", LEVELS),
    Way("synthesis", "latent", CLASSICAL, LEVELS),
    Way("synthesis", "latent", "zeros", Contender("hybrid", "hybrid")),
    Way("synthesis", "latent", "zeros", CONTINUATION),
    Way("synthesis", "typical", "zeros", LEVELS),
    Way("analysis", "nll", "zeros", Contender("L-BFGS", "lbfgs")),
    Way("analysis", "nll", CLASSICAL, Contender("L-BFGS", "lbfgs")),
    Way("analysis", "latent", CLASSICAL, Contender("L-BFGS", "lbfgs")),
    Way("analysis", "typical", CLASSICAL, Contender("L-BFGS", "lbfgs")),
    Way("analysis", "smoothed", CLASSICAL, ADAM, 100),
    Way("analysis", "smoothed", "zeros", ADAM, 100),
)


def stops(
    x: torch.Tensor, tasks: list[str], budget: int, known: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """Return, for each task and way, mean PSNR in dB under each rule; and the best of each task.

    What `known`, an earlier result, has of as many images and evaluations is taken from there, tasks included
    that are not asked for.
    """
    same = known.get("images") == len(x) and known.get("budget", budget) == budget
    results: dict[str, Any] = {"budget": budget}
    rows, best = [], []
    others = [task for task in FACE_TASKS if same and task in known and task not in tasks]
    for task in [*tasks, *others]:
        found = {}
        for way in WAYS:
            if task in others and way.title not in known[task]:
                continue
            earlier = known.get(task, {}).get(way.title) if same else None
            found[way.title] = earlier or {
                r: psnr.tolist() for r, psnr in _rules(task, way, x, budget).items()
            }
            means = {rule: float(np.mean(psnr)) for rule, psnr in found[way.title].items()}
            cells = [f"{means[rule]:.2f}" if rule in means else "" for rule in RULES]
            rows.append([task, way.title, *cells])
            print(rows[-1], flush=True)
        results[task] = found
        # The peak looks at the truth: no rule that a user could follow.
        scores = {(w, r): np.mean(p) for w, rules in found.items() for r, p in rules.items() if r != PEAK}
        way_title, rule = max(scores, key=scores.__getitem__)
        best.append([task, way_title, rule, f"{scores[way_title, rule]:.2f}"])
    summary = table(["task", "objective, start and solver", "stop", "PSNR"], best)
    return results, "\n\n".join([summary, table(["task", "way", *RULES], rows)])


LOWEST, EARLY, DISCREPANCY, HELD_OUT, PEAK = (
    "lowest F",
    "50 evaluations",
    "discrepancy",
    "held-out part",
    "peak (truth)",
)
RULES = (LOWEST, EARLY, DISCREPANCY, HELD_OUT, PEAK)


def _rules(task: str, way: Way, x: torch.Tensor, budget: int) -> dict[str, np.ndarray]:
    """Return the PSNR of each image, shape (N,), under each rule."""
    trace = _trace(task, way, x, budget, None)
    psnr = trace["psnr"]
    rows = {
        LOWEST: trace["value"].argmin(0),
        EARLY: (trace["evaluations"] <= 50).sum(0) - 1,
        PEAK: psnr.argmax(0),
    }
    problem = FACE_TASKS[task].problem(x)
    if problem.sigma:
        noise = problem.y[0].numel() * problem.sigma**2
        fits = 2 * trace["data_fidelity"] <= noise
        # Where it never fits, the rule does not stop it.
        rows[DISCREPANCY] = np.where(fits.any(0), fits.argmax(0), len(psnr) - 1)
    found = {rule: np.take_along_axis(psnr, index[None], 0)[0] for rule, index in rows.items()}
    watched = _trace(task, way, x, budget, HeldOutLeastSquares(0.1))
    index = watched["held_out"].argmin(0)
    return found | {HELD_OUT: np.take_along_axis(watched["psnr"], index[None], 0)[0]}


def _trace(
    task: str, way: Way, x: torch.Tensor, budget: int, fidelity: HeldOutLeastSquares | None
) -> dict[str, np.ndarray]:
    problem, prior = FACE_TASKS[task].problem(x), fs.load_prior(PRIORS[way.formulation])
    kind = fs.Analysis if way.formulation == "analysis" else fs.Synthesis
    lam = "map" if problem.sigma else NOISELESS
    objective = kind(problem, prior, phi=way.phi, lam=lam, fidelity=fidelity)
    return run(
        objective,
        way.contender,
        START[task] if way.start == CLASSICAL else way.start,
        evaluations=way.budget or budget,
    )
