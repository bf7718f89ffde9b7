"""One objective, one prior, one set of images: other libraries' solvers beside ours, in one run.

Over images ½‖Ax − y‖² + λ φ(x), φ = ``nll`` and λ = σ²/2, from a classical restoration; over latents
½‖AD(z) − y‖² + λ‖z‖² from z = 0. All get the same budget of evaluations of the flow an image. Pyxu's,
torch's and SciPy's solvers run through flowsolve, which counts for them; deepinv runs in a process of its
own, in its own environment if need be, with our flow and operator wrapped as its prior and physics::

    python -m benchmarks.peers --images 4 --evaluations 150 --peer-python deepinv=/envs/deepinv/bin/python

The environment of deepinv needs flowsolve's dependencies too, or else it is left out. deepinv has no rule
for a first step: fixed ones, and first ones of its backtracking, are tried on a grid and the run with the
lowest F is shown, for which its user would have to pay too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve.initialise import make_start

from .face_tasks import FACE_TASKS
from .operators import importable
from .reporting import faces, parser, save, table

NAME = "peers"
STARTS = {
    "deblur": "tikhonov",
    "denoise": "total-variation",
    "sr2": "back-projection",
    "sr4": "back-projection",
}

OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "flowsolve lbfgs": ("lbfgs", {}),
    "flowsolve lbfgs, 20 pairs": ("lbfgs", {"history": 20}),
    "flowsolve lbfgs, no units": ("lbfgs", {"scaling": "none"}),
    "flowsolve nonlinear_cg": ("nonlinear_cg", {}),
    "flowsolve gradient_descent": ("gradient_descent", {}),
    "flowsolve forward_backward": ("forward_backward", {}),
    "flowsolve hybrid": ("hybrid", {}),
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "torch LBFGS, strong Wolfe": ("torch:LBFGS", {"line_search_fn": "strong_wolfe"}),
    "torch LBFGS, no search": ("torch:LBFGS", {}),
    "SciPy L-BFGS-B": ("scipy:L-BFGS-B", {}),
    "Pyxu PGD": ("pyxu:PGD", {}),
    "Pyxu NLCG": ("pyxu:NLCG", {}),
}
FORMULATIONS = ("analysis", "synthesis")


def objective_of(formulation: str, problem: fs.InverseProblem, prior: Any) -> Any:
    """Return the objective that all solve."""
    if formulation == "analysis":
        return fs.Analysis(problem, prior, phi="nll")
    return fs.Synthesis(problem, prior, phi="latent")


def measure(name: str, objective: Any, start: Any, evaluations: int) -> dict[str, Any]:
    """Return what a solver reaches within the budget: F and PSNR of each image, evaluations, seconds."""
    solver, settings = (OURS | OTHERS)[name]
    result = fs.solve(
        objective, solver, start, max_iter=None, max_evaluations=evaluations, rtol=None, **settings
    )
    return {
        "value": result.value,
        "psnr": fs.psnr(result.x, objective.problem.x_true),
        "evaluations": result.counts["evaluations"],
        "seconds": result.seconds,
        "status": sorted(set(result.status)),
    }


def deepinv(
    objective: Any, start: torch.Tensor, evaluations: int, prior: str, python: str, threads: int
) -> dict:
    """Return rows of deepinv's solvers: of each kind the fixed step of lowest F, and backtracking."""
    problem = objective.problem
    request = {
        "operator": problem.operator.config(),
        "y": problem.y,
        "sigma": problem.sigma,
        "start": start,
        "lam": float(objective.lam),
        "budget": evaluations,
        "prior": prior,
        "threads": threads,
    }
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "request.pt", Path(folder) / "answer.pt"
        torch.save(request, asked)
        script = str(Path(__file__).with_name("deepinv_peer.py"))
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        subprocess.run(
            [python, "-W", "ignore", script, str(asked), str(answered)], check=True, env=environment
        )
        runs = torch.load(answered, weights_only=True)
    kinds: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        kind = (
            f"deepinv {name.split(',')[0]}, {'backtracking' if 'backtracking' in name else 'best fixed step'}"
        )
        value = run["value"].numpy()
        if kind not in kinds or value.mean() < kinds[kind]["value"].mean():
            n = len(value)
            finite = torch.nan_to_num(run["x"], nan=0.0, posinf=0.0, neginf=0.0)
            kinds[kind] = {
                "value": value,
                "psnr": fs.psnr(finite, problem.x_true),
                "evaluations": np.full(n, run["evaluations"]),
                "seconds": run["seconds"],
                "status": [name.split(", ")[1]],
            }
    return kinds


def rows_of(
    task: str, formulation: str, prior: Any, x: torch.Tensor, options: argparse.Namespace
) -> list[dict]:
    """Return the rows of one objective: every solver that takes it."""
    problem = FACE_TASKS[task].problem(x)
    start = make_start(STARTS[task] if formulation == "analysis" else "zeros", problem, prior)
    found: dict[str, dict[str, Any]] = {}
    for name in (*OURS, *OTHERS):
        objective = objective_of(formulation, problem, prior)
        try:
            found[name] = measure(name, objective, start, options.evaluations)
        except fs.errors.FlowsolveError as error:
            print(f"{task}, {formulation}: {name} left out: {error}", file=sys.stderr)
    if formulation == "analysis" and options.deepinv is not None:
        objective = objective_of(formulation, problem, prior)
        python, threads = options.deepinv, options.threads
        try:
            found |= deepinv(objective, start.x, options.evaluations, options.prior, python, threads)
        except subprocess.CalledProcessError as error:
            print(f"{task}, {formulation}: deepinv left out: exit code {error.returncode}", file=sys.stderr)
    rows = [{"task": task, "formulation": formulation, "solver": name, **row} for name, row in found.items()]
    for row in rows:
        print(task, formulation, row["solver"], f"F {np.mean(row['value']):.4f}", flush=True)
    return rows


def report(rows: list[dict[str, Any]], versions: dict[str, str]) -> str:
    """Return the table as Markdown, for each objective the lowest F first."""
    lines = []
    for row in sorted(rows, key=lambda r: (r["task"], r["formulation"], float(np.mean(r["value"])))):
        cells = [
            f"{np.mean(row['value']):.4f}",
            f"{np.mean(row['psnr']):.2f}",
            f"{np.mean(row['evaluations']):.0f}",
        ]
        cells += [f"{row['seconds']:.1f}", ", ".join(row["status"])]
        lines.append([row["task"], row["formulation"], row["solver"], *cells])
    head = ["task", "formulation", "solver", "F", "PSNR", "evaluations", "seconds", "ended"]
    about = "Means over images at the lowest F that each found; seconds of the whole batch. " + ", ".join(
        f"{name} {version}" for name, version in versions.items()
    )
    return "\n\n".join(["# Other libraries' solvers on one objective", about, table(head, lines)])


def main(arguments: list[str] | None = None) -> int:
    """Measure, save after each objective, print."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=4, help="test images")
    made.add_argument("--evaluations", type=int, default=150, help="budget of each image")
    made.add_argument("--prior", default="faces64", help="name or file")
    made.add_argument("--task", action="append", choices=list(STARTS), help="default: deblur and denoise")
    made.add_argument("--formulation", action="append", choices=FORMULATIONS, help="default: both")
    made.add_argument("--peer-python", action="append", default=[], metavar="LIBRARY=PYTHON")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pythons = dict(pair.split("=", 1) for pair in options.peer_python)
    python = pythons.get("deepinv", sys.executable)
    version = importable(python, "deepinv")
    options.deepinv = None if version is None else python
    if version is None:
        print(f"deepinv: left out, as {python} cannot import it", file=sys.stderr)
    versions = {} if version is None else {"deepinv": version}
    x, prior = faces(options.data, "celeba64-test50.zip", options.images), fs.load_prior(options.prior)
    rows: list[dict[str, Any]] = []
    for task in options.task or ["deblur", "denoise"]:
        for formulation in options.formulation or FORMULATIONS:
            rows += rows_of(task, formulation, prior, x, options)
            save(NAME, options, {"rows": rows, "peers": versions}, report(rows, versions), quiet=True)
    print(report(rows, versions))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
