"""What priors of faces restore, one beside the other: best PSNR along the way, over images and over latents.

The tables of ``docs/priors.md``, on validation faces::

    python -m benchmarks.prior_comparison faces64 faces64-additive trained/prior.safetensors [--images 6]
"""

from __future__ import annotations

from typing import Any

import torch

import flowsolve as fs

from .face_tasks import FACE_TASKS
from .reporting import faces, parser, save, table
from .solver_runs import NOISELESS, START

FACTORS = {"deblur": (0.2, 0.35, 1.0), "sr2": (0.1, 0.35, 1.0), "denoise": (0.35, 1.0), "random": (None,)}
"""Weights tried over images, in units of the MAP weight; None is the hard constraint."""

ITERATIONS = {"images": 60, "latents": 120}


def over_images(problem: fs.InverseProblem, prior: Any, task: str, phi: str, factor: float | None) -> Any:
    """Return the mean PSNR at every iteration, from the task's classical restoration."""
    lam = "map" if factor is None else factor * problem.sigma**2 / 2
    objective = fs.Analysis(problem, prior, phi=phi, lam=lam)
    start = START.get(task, "total-variation")
    return fs.solve(objective, "lbfgs", start, max_iter=ITERATIONS["images"], rtol=None).trace["psnr"].mean(1)


def over_latents(problem: fs.InverseProblem, prior: Any) -> Any:
    """Return the mean PSNR at every iteration, from z = 0 in units of the levels."""
    objective = fs.Synthesis(problem, prior, lam="map" if problem.sigma else NOISELESS)
    options: dict[str, Any] = {"max_iter": ITERATIONS["latents"], "rtol": None, "scaling": "levels"}
    return fs.solve(objective, "lbfgs", "zeros", **options).trace["psnr"].mean(1)


def main() -> None:
    """Measure and print a table, a row for each task and way."""
    arguments = parser(__doc__)
    arguments.add_argument("prior", nargs="+", help="names or files")
    arguments.add_argument("--images", type=int, default=6, help="validation images")
    arguments.add_argument("--task", choices=FACTORS, action="append", help="default: all")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    x = faces(options.data, "celeba64-val.zip", options.images)
    rows, results = [], {}
    for task in options.task or FACTORS:
        problem = FACE_TASKS[task].problem(x)
        for way in ("images nll", "images latent", "latents"):
            row = [task, way]
            for name in options.prior:
                prior = fs.load_prior(name)
                if way == "latents":
                    curves = {1.0: over_latents(problem, prior)}
                else:
                    phi = way.split()[1]
                    curves = {f: over_images(problem, prior, task, phi, f) for f in FACTORS[task]}
                factor, curve = max(curves.items(), key=lambda pair: pair[1].max())
                results[f"{task}/{way}/{name}"] = {"factor": factor, "psnr": curve}
                row.append(f"{curve.max():.2f} at {curve.argmax()}, last {curve[-1]:.2f}")
            start = "" if way == "latents" else f" (start {curve[0]:.2f})"
            rows.append([row[0], row[1] + start, *row[2:]])
            print(rows[-1], flush=True)
    save("prior_comparison", options, results, table(["task", "over", *options.prior], rows))


if __name__ == "__main__":
    main()
