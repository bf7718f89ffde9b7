"""What the start decides: starts x solvers x weights, over latents.

First on tasks with faces: how far F, PSNR and ‖z‖²/n of the end spread over the starts. Then the
experiment of Asim et al. (GlowIP, ICML 2020): compressive sensing with m = 5000 and no prior term, from
z = 0, from Gaussian latents of deviation 0.1 and 0.7, from a lasso of wavelets, and from the truth plus an
image of norm 5 that A does not see; with the solvers of the paper and ours::

    python -m benchmarks.initialisation --images 4 --max-iter 150
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve.initialise import Start, make_start

from .face_tasks import FACE_TASKS
from .paper_rows import MEAN, PAPER_ROWS, mean_face
from .reporting import faces, parser, save, table
from .wavelets import wavelet_lasso

NAME = "initialisation"
CLASSICAL = {
    "deblur": "tikhonov",
    "sr2": "back-projection",
    "sr4": "back-projection",
    "random": "harmonic",
    "box": "harmonic",
    "denoise": "total-variation",
}
"""The classical restoration whose latents are a start of each task."""

SOLVERS: dict[str, dict[str, Any]] = {"lbfgs": {}, "adam": {"lr": 0.1}, "hybrid": {}}
FACTORS, LAMS = (0.1, 1.0), (1e-4, 1e-3)
"""Weights: in units of the MAP weight, or as numbers where σ = 0."""

NULL_NORM = 5.0
"""Norm of what is added to the truth in the start ``null-space``, as in the paper's code."""

PRINTED = {
    "zeros": 36.98,
    "random 0.1": 35.87,
    "random 0.7": 34.46,
    "wavelet-lasso": 31.15,
    "null-space": 27.10,
}
"""PSNR in dB that the paper prints for L-BFGS (Asim et al., ICML 2020; other images, another prior)."""


def task_starts(task: str, mean: torch.Tensor) -> dict[str, Callable[[Any, Any], Start]]:
    """Return the starts of a task by name, as functions of problem and prior."""
    name = f"encoded:{CLASSICAL[task]}"
    return {
        "zeros": lambda problem, prior: make_start("zeros", problem, prior),
        **{f"random {std:g}": scaled(std) for std in (0.1, 0.7, 1.0)},
        name: lambda problem, prior: make_start(name, problem, prior),
        MEAN: lambda problem, prior: Start(
            x=mean.to(problem.y).expand(len(problem), *mean.shape).clone(), name=MEAN
        ),
    }


def scaled(std: float) -> Callable[[Any, Any], Start]:
    """Return the start z ~ N(0, std² I)."""

    def start(problem: Any, prior: Any) -> Start:
        z = make_start("random", problem, prior).z
        assert z is not None
        return Start(z=std * z, name=f"random {std:g}")

    return start


def null_space(problem: Any, prior: Any) -> Start:
    """Return the truth plus an image of norm `NULL_NORM` that A does not see (it looks at the truth)."""
    x, operator = problem.x_true, problem.operator
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    unseen = operator.project_nullspace(noise)
    length = torch.linalg.vector_norm(unseen.flatten(1), dim=1).reshape(-1, 1, 1, 1)
    return Start(x=x + NULL_NORM * unseen / length, name="null-space")


def glowip_starts() -> dict[str, Callable[[Any, Any], Start]]:
    """Return the starts of the paper's experiment."""
    return {
        "zeros": lambda problem, prior: make_start("zeros", problem, prior),
        "random 0.1": scaled(0.1),
        "random 0.7": scaled(0.7),
        "wavelet-lasso": lambda problem, prior: Start(x=wavelet_lasso(problem), name="wavelet-lasso"),
        "null-space": null_space,
    }


def measure(
    objective: Any, solver: str, solver_options: dict[str, Any], start: Start, max_iter: int
) -> dict[str, Any]:
    """Return F, PSNR and ‖z‖²/n at the start, the end and the best PSNR on the way, image by image."""
    result = fs.solve(objective, solver, start, max_iter=max_iter, rtol=None, **solver_options)
    psnr, final = result.trace["psnr"], result.final
    return {
        "value": final.value,
        "psnr": psnr[-1],
        "psnr_start": psnr[0],
        "psnr_best": psnr.max(0),
        "norm": final.z.square().mean(1),
        "evaluations": result.counts["evaluations"],
        "status": result.status,
    }


def tasks_rows(
    options: argparse.Namespace, prior: Any, x: torch.Tensor, mean: torch.Tensor
) -> list[dict[str, Any]]:
    """Measure every start, solver and weight on the tasks."""
    rows = []
    for task in options.task:
        problem = FACE_TASKS[task].problem(x)
        for lam in [f * problem.sigma**2 / 2 for f in FACTORS] if problem.sigma else LAMS:
            for name, start in task_starts(task, mean).items():
                made = start(problem, prior)
                for solver in options.solver:
                    objective = fs.Synthesis(problem, prior, phi="latent", lam=lam)
                    found = measure(objective, solver, SOLVERS[solver], made, options.max_iter)
                    rows.append({"task": task, "lam": lam, "start": name, "solver": solver, **found})
                    print(task, f"{lam:.1e}", name, solver, f"{np.mean(found['psnr']):.2f} dB", flush=True)
    return rows


def glowip_rows(options: argparse.Namespace, prior: Any, x: torch.Tensor) -> list[dict[str, Any]]:
    """Measure GlowIP's experiment: its L-BFGS, its Adam, and our L-BFGS, gamma = 0."""
    problem = PAPER_ROWS["cs-5000"].task.problem(x)
    plain = fs.presets.registry.get("asim-2020").protocol("compressive-sensing", "synthesis")
    solvers = {
        "torch:LBFGS": {"lr": plain.rate, "history_size": 100},
        "adam": {"lr": 0.1},
        "lbfgs": {},
    }
    rows = []
    for name, start in glowip_starts().items():
        made = start(problem, prior)
        for solver, settings in solvers.items():
            objective = fs.Synthesis(problem, prior, phi="latent", lam=0.0)
            found = measure(objective, solver, settings, made, options.max_iter)
            printed = PRINTED[name] if solver == "torch:LBFGS" else None
            rows.append({"start": name, "solver": solver, "printed": printed, **found})
            print("glowip", name, solver, f"{np.mean(found['psnr']):.2f} dB", flush=True)
    return rows


def spread_rows(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return for each task, weight and solver how far the ends from different starts lie apart."""
    groups: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["lam"], row["solver"]), []).append(row)
    lines = []
    for (task, lam, solver), members in groups.items():
        # An image's spread first, then the mean over images.
        values, psnr = (np.stack([m[key] for m in members]) for key in ("value", "psnr"))
        means = {m["start"]: float(np.mean(m["psnr"])) for m in members}
        best = max(means, key=means.__getitem__)
        ratio = np.mean(values.max(0) / np.abs(values.min(0)))
        gap = np.mean(psnr.max(0) - psnr.min(0))
        lines.append(
            [task, f"{lam:.1e}", solver, f"{ratio:.2f}", f"{gap:.2f}", f"{best} ({means[best]:.2f})"]
        )
    return lines


def report(rows: list[dict[str, Any]], glowip: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""

    def cells(row: dict[str, Any]) -> list[str]:
        mean = {
            k: float(np.mean(np.asarray(row[k])))
            for k in ("psnr_start", "psnr", "psnr_best", "norm", "value")
        }
        shown = [f"{mean['value']:.4g}", f"{mean['psnr_start']:.2f}", f"{mean['psnr']:.2f}"]
        return [
            *shown,
            f"{mean['psnr_best']:.2f}",
            f"{mean['norm']:.2f}",
            f"{np.mean(row['evaluations']):.0f}",
        ]

    ends = ["F", "PSNR of start", "PSNR", "best on the way", "‖z‖²/n", "evaluations"]
    all_rows = [[r["task"], f"{r['lam']:.1e}", r["start"], r["solver"], *cells(r)] for r in rows]
    parts = ["# Starts", "F = ½‖AD(z) − y‖² + λ‖z‖², means over images at the last iterate; PSNR in dB."]
    if rows:
        head = ["task", "λ", "solver", "F max / min over starts", "PSNR max − min", "best start (PSNR)"]
        parts += ["## Spread over starts", table(head, spread_rows(rows))]
        parts += ["## All", table(["task", "λ", "start", "solver", *ends], all_rows)]
    if glowip:
        lines = [
            [r["start"], r["solver"], *cells(r), "" if r["printed"] is None else f"{r['printed']:.2f}"]
            for r in glowip
        ]
        head = ["start", "solver", *ends, "printed (other images and prior)"]
        parts += ["## GlowIP's experiment: compressive sensing, m = 5000, λ = 0", table(head, lines)]
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Measure, save and print."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=4, help="test images")
    made.add_argument("--max-iter", type=int, default=150)
    made.add_argument("--prior", default="faces64", help="name or file")
    made.add_argument("--task", action="append", choices=list(FACE_TASKS), help="default: deblur and random")
    made.add_argument("--solver", action="append", choices=list(SOLVERS), help="default: all")
    made.add_argument("--no-glowip", action="store_true", help="leave out the paper's experiment")
    options = made.parse_args(arguments)
    options.task, options.solver = options.task or ["deblur", "random"], options.solver or list(SOLVERS)
    torch.set_num_threads(options.threads)
    x, mean = faces(options.data, "celeba64-test50.zip", options.images), mean_face(options.data)
    prior = fs.load_prior(options.prior)
    rows = tasks_rows(options, prior, x, mean)
    save(NAME, options, {"rows": rows, "glowip": []}, report(rows, []), quiet=True)
    glowip = [] if options.no_glowip else glowip_rows(options, prior, x)
    save(NAME, options, {"rows": rows, "glowip": glowip}, report(rows, glowip))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
