"""Wall times of solvers: to the seed's final objective, of a batch, and over latents."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import torch

import flowsolve as fs

from .face_tasks import FACE_TASKS
from .reporting import table
from .solver_runs import Contender, first_at, lowest, objective_of, run

SEED = "oberlin-verm-2021"

OURS = {
    "synthesis": (
        Contender("L-BFGS", "lbfgs"),
        Contender("L-BFGS, level units", "lbfgs", {"scaling": "levels"}),
        Contender("hybrid", "hybrid"),
    ),
    "analysis": (Contender("L-BFGS, spectral units", "lbfgs"),),
}


def against_the_seed(x: torch.Tensor, prior: Any, tasks: list[str], iterations: int) -> tuple[dict, str]:
    """Time to the objective that the seed's loop ends with: its own problem, loss, start and Adam 0.1.

    Images of a batch do not influence each other, so that the loop's final values come from one batch; its
    time an iteration is measured on single images, three of them.
    """
    results: dict[str, Any] = {}
    rows = []
    preset = fs.presets.registry.get(SEED)
    for task in tasks:
        name = FACE_TASKS[task].preset
        assert name is not None
        problem = preset.problem(name, x)
        for formulation, contenders in OURS.items():
            plan = fs.presets.plan(SEED, name, formulation, problem, prior)
            adam = Contender("Adam 0.1", plan.solver)
            loop = _seconds_an_iteration(plan, adam) * iterations * len(x)
            target = run(plan.objective, adam, plan.start, iterations=iterations)["value"][-1]
            entry: dict[str, Any] = {"target": target, "adam_seconds": loop, "ours": {}}
            for contender in contenders:
                limit = min(300, iterations)
                trace = run(plan.objective, contender, plan.start, iterations=limit, target=target)
                seconds = first_at(trace, target, "seconds").max()
                entry["ours"][contender.title] = {
                    "seconds_to_target": seconds,
                    "ratio": loop / seconds,
                    "reached": int((lowest(trace) <= target).sum()),
                }
                ratio = f"{loop / seconds:.0f}x" if np.isfinite(seconds) else "not all reach it"
                rows.append([task, formulation, f"{target.mean():.4g}", f"{loop:.0f}", contender.title])
                rows[-1] += [f"{seconds:.1f}", ratio]
                print(rows[-1], flush=True)
            results[f"{task}/{formulation}"] = entry
    header = ["task", "formulation", "final F of Adam", "its seconds", "solver", "seconds to it", "ratio"]
    return results, table(header, rows)


def _seconds_an_iteration(plan: fs.presets.Plan, adam: Contender, iterations: int = 25) -> float:
    """Return the median over single images; the first iterations, which warm up, are left out."""
    times = []
    for i in range(min(3, len(plan.objective))):
        part = plan.objective.select([i])
        start = dataclasses.replace(
            plan.start,
            x=None if plan.start.x is None else plan.start.x[i : i + 1],
            z=None if plan.start.z is None else plan.start.z[i : i + 1],
        )
        seconds = run(part, adam, start, iterations=iterations)["seconds"][:, 0]
        times.append((seconds[-1] - seconds[5]) / (len(seconds) - 6))
    return float(np.median(times))


BATCHED = (
    Contender("L-BFGS", "lbfgs"),
    Contender("Adam", "adam", {"lr": 1e-3}),
    Contender("gradient descent", "gradient_descent"),
)


def batched(x: torch.Tensor, prior: Any, iterations: int = 15) -> tuple[dict, str]:
    """Time of one batch against the same solver on its images one at a time, in turn in one run."""
    rows, results = [], {}
    for contender in BATCHED:
        for formulation in OURS:
            whole = objective_of("deblur", formulation, "latent", x, prior)
            together = run(whole, contender, "zeros", iterations=iterations)["seconds"][-1].max()
            alone = 0.0
            for i in range(len(x)):
                one = objective_of("deblur", formulation, "latent", x, prior, slice(i, i + 1))
                alone += run(one, contender, "zeros", iterations=iterations)["seconds"][-1, 0]
            results[f"{contender.title}/{formulation}"] = {"batch": together, "alone": alone}
            rows.append([contender.title, formulation, f"{together:.1f}", f"{alone:.1f}"])
            rows[-1].append(f"{alone / together:.2f}x")
            print(rows[-1], flush=True)
    return results, table(["solver", "formulation", "batch, s", "one at a time, s", "ratio"], rows)


IDEAS = {
    "L-BFGS (reference)": ("synthesis", Contender("", "lbfgs"), 600),
    "level units": ("synthesis", Contender("", "lbfgs", {"scaling": "levels"}), 400),
    "level units, history 40": (
        "synthesis",
        Contender("", "lbfgs", {"scaling": "levels", "history": 40}),
        300,
    ),
    "over images, spectral units": ("analysis", Contender("", "lbfgs"), 200),
    "hybrid": ("synthesis", Contender("", "hybrid"), 200),
    "lam-continuation 100, 10, 1": (
        "synthesis",
        Contender("", "continuation", {"inner": {"name": "lbfgs", "options": {}}}),
        250,
    ),
    "Levenberg-Marquardt": ("synthesis", Contender("", "gauss_newton"), 20),
}
"""What was tried to reach the objective of 600 iterations sooner: formulation, solver, iterations."""


def latent_speed(x: torch.Tensor, prior: Any, shrink: float = 1.0) -> tuple[dict, str, dict]:
    """Seconds to the objective that L-BFGS over latents has after 600 iterations, for each idea."""
    rows, results, curves = [], {}, {}
    for task in ("deblur", "random"):
        target = None
        for name, (formulation, contender, iterations) in IDEAS.items():
            objective = objective_of(task, formulation, "latent", x, prior)
            began = time.perf_counter()
            trace = run(objective, contender, "zeros", iterations=max(2, int(shrink * iterations)))
            value, psnr, seconds = (trace[c].mean(1) for c in ("value", "psnr", "seconds"))
            if target is None:
                target, reference = value[-1], seconds[-1]
            reached = np.flatnonzero(value <= target)
            took = seconds[reached[0]] if len(reached) else np.inf
            there = psnr[reached[0]] if len(reached) else np.nan
            curves[f"{task}: {name}"] = {"seconds": seconds, "value": value, "psnr": psnr}
            results[f"{task}/{name}"] = {
                "seconds": took,
                "share": took / reference,
                "psnr_there": there,
                "best_psnr": psnr.max(),
                "seconds_to_best_psnr": seconds[psnr.argmax()],
                "wall": time.perf_counter() - began,
            }
            rows.append([task, name, f"{took:.1f}", f"{took / reference:.2f}", f"{there:.2f}"])
            rows[-1] += [f"{psnr.max():.2f}", f"{seconds[psnr.argmax()]:.1f}", f"{value[-1]:.4g}"]
            print(rows[-1], flush=True)
    header = ["task", "idea", "seconds to F of 600 iterations", "share", "PSNR there", "best PSNR"]
    return results, table([*header, "seconds to it", "last F"], rows), curves
