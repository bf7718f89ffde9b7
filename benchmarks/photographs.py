"""What a prior for images of any size restores of whole photographs, beside total variation.

Random inpainting of 60 % of the pixels and Gaussian denoising at sigma = 0.1. The weights of total
variation and of the prior are chosen on the photographs of --tune (some of its training images' held-out
part: every twentieth), and used as they are on those of --test::

    python -m benchmarks.photographs --tune bsds-train400.zip --test bsds-test68.zip [--prior natural]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve import baselines, images
from flowsolve.tasks import registry as tasks

TASKS = {"inpaint-random": 0.0, "denoise": 0.1}

ITERATIONS = {"inpaint-random": 40, "denoise": 10}
"""Few where there is noise: on the images to choose on, PSNR peaks there and then falls."""
TV_WEIGHTS = (0.6, 0.8, 1.0, 1.25)
"""Weights of total variation in units of the noise's deviation (sigma > 0)."""

LAM_FACTORS = (0.3, 0.35, 0.4, 0.5, 1.0)
"""Weights of the prior in units of the MAP weight (sigma > 0)."""

CROP = 128
"""Side in pixels of the middle of each photograph that options are chosen on."""


def photographs(path: Path, limit: int | None, every: int = 1, crop: int | None = None) -> list[torch.Tensor]:
    """Return batches (N, 3, H, W) in [0, 1], one for each size there is."""
    sizes: dict[tuple[int, int], list[np.ndarray]] = {}
    sources = images.find_images([path])[every // 2 :: every][:limit]
    for source in sources:
        x = images.decode(source)[0]
        if crop is not None:
            top, left = (x.shape[1] - crop) // 2, (x.shape[2] - crop) // 2
            x = x[:, top : top + crop, left : left + crop]
        sizes.setdefault(x.shape[1:], []).append(x)
    return [torch.from_numpy(np.stack(group)) for group in sizes.values()]


def problem_of(task: str, x: torch.Tensor, seed: int = 0) -> fs.InverseProblem:
    """Return the measurements of a batch of photographs."""
    sigma = TASKS[task]
    operator = tasks.get(task).operator(tuple(x.shape[1:]), n_images=len(x), seed=seed)
    return fs.InverseProblem(operator, fs.degrade(operator, x, sigma=sigma, seed=seed), sigma=sigma, x_true=x)


def total_variation(problem: fs.InverseProblem, factor: float) -> torch.Tensor:
    """Return the total-variation restoration; its weight is a factor of the noise's deviation."""
    weight = factor * problem.sigma if problem.sigma else None
    return baselines.total_variation(problem, weight=weight)


@dataclass(frozen=True)
class Restorer:
    """How our restorations are computed."""

    solver: str
    iterations: int


def restore(problem: fs.InverseProblem, prior: Any, factor: float, how: Restorer, start: Any) -> Any:
    """Return the result of our solver; the prior's weight is a factor of the MAP weight."""
    lam = factor * problem.sigma**2 / 2 if problem.sigma else "map"
    objective = fs.Analysis(problem, prior, phi="nll", lam=lam)
    return fs.solve(objective, how.solver, start, max_iter=how.iterations, rtol=None)


def psnrs(x: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """Return the PSNR in dB of each image."""
    return [float(v) for v in fs.psnr(x, truth)]


def choose(task: str, batches: list[torch.Tensor], prior: Any, how: Restorer) -> dict[str, float]:
    """Return the best weights on the images to choose on, of total variation and of the prior."""
    problems = [problem_of(task, x) for x in batches]
    noisy = bool(TASKS[task])

    def mean(restored: Iterable[torch.Tensor]) -> float:
        return float(
            np.mean([v for r, p in zip(restored, problems, strict=True) for v in psnrs(r, p.x_true)])
        )

    tv_scores = {
        w: mean(total_variation(p, w) for p in problems) for w in (TV_WEIGHTS if noisy else TV_WEIGHTS[:1])
    }
    tv = max(tv_scores, key=lambda w: tv_scores[w])
    starts = [total_variation(p, tv) for p in problems]
    lam_scores = {
        f: mean(restore(p, prior, f, how, s).x for p, s in zip(problems, starts, strict=True))
        for f in (LAM_FACTORS if noisy else (1.0,))
    }
    factor = max(lam_scores, key=lambda f: lam_scores[f])
    print(f"{task}: on the images to choose on, TV {tv_scores}, prior {lam_scores}", flush=True)
    return {"tv_weight": tv, "lam_factor": factor}


def measure(
    task: str, batches: list[torch.Tensor], prior: Any, chosen: dict[str, float], how: Restorer
) -> dict:
    """Return PSNR by image of both restorations, and seconds."""
    row: dict[str, Any] = {"tv": [], "prior": [], "tv_seconds": 0.0, "prior_seconds": 0.0, **chosen}
    for x in batches:
        for image in x.split(1):
            problem = problem_of(task, image)
            began = time.perf_counter()
            start = total_variation(problem, chosen["tv_weight"])
            row["tv_seconds"] += time.perf_counter() - began
            result = restore(problem, prior, chosen["lam_factor"], how, start)
            row["prior_seconds"] += result.seconds
            row["tv"] += psnrs(start, image)
            row["prior"] += psnrs(result.x, image)
    return row


def main() -> None:
    """Choose the weights, measure, print a table; with --json FILE, write the figures too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tune", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--prior", default="natural")
    parser.add_argument("--limit", type=int, default=None, help="use no more test photographs than this")
    parser.add_argument("--tune-limit", type=int, default=8)
    parser.add_argument("--task", choices=list(TASKS), action="append", help="default: all")
    parser.add_argument("--solver", default="lbfgs")
    parser.add_argument("--every", type=int, default=1, help="use every so many-th test photograph")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    prior = fs.load_prior(options.prior)
    tune = photographs(options.tune, options.tune_limit, every=20, crop=CROP)
    test = photographs(options.test, options.limit, every=options.every)
    rows = {}
    print("| task | images | total variation | prior | gain | TV s | prior s |")
    print("|" + "---|" * 7)
    for task in options.task or TASKS:
        how = Restorer(options.solver, ITERATIONS[task])
        row = rows[task] = measure(task, test, prior, choose(task, tune, prior, how), how)
        tv, ours = np.mean(row["tv"]), np.mean(row["prior"])
        print(
            f"| {task} | {len(row['tv'])} | {tv:.2f} | {ours:.2f} | {ours - tv:+.2f} | "
            f"{row['tv_seconds']:.0f} | {row['prior_seconds']:.0f} |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
