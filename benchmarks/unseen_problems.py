"""What ``auto`` restores of faces at problems that no row of the tables has, beside classical restorations.

Neither the rule of ``auto`` nor a constant of it was found on these: other kernels, boundaries, factors,
shares of missing pixels, noise levels and operators, on validation faces. Each problem is saved when it is
there::

    python -m benchmarks.unseen_problems [--images 8] [--problem motion-9] [--problem radon-30]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve import baselines
from flowsolve.operators import (
    Blur,
    Downsample,
    Fourier,
    Identity,
    LinearOperator,
    Mask,
    Mosaic,
    Radon,
    RandomProjection,
)

from .face_tasks import SHAPE, FaceTask
from .reporting import environment, faces, made_by, parser, read, save, table
from .restoring import best_of, restore

NAME = "unseen_problems"


def _shared(make: Callable[[], LinearOperator]) -> Callable[[int, int], LinearOperator]:
    return lambda n, seed: make()


def _gaussian(std: float, boundary: str = "circular") -> Callable[[int, int], LinearOperator]:
    return _shared(lambda: Blur.gaussian(std, SHAPE, boundary=boundary))


def _missing(share: float) -> Callable[[int, int], LinearOperator]:
    return lambda n, seed: Mask.random(share, dim_shape=SHAPE, seed=seed, n_images=n)


def _projection(m: int) -> Callable[[int, int], LinearOperator]:
    return lambda n, seed: RandomProjection(m, SHAPE, seed=seed, keep=True, decompose=True)


FOURTH_OF_THE_LINES = {"lines": {"acceleration": 4, "centre": 0.08, "seed": 0}}

PROBLEMS: dict[str, FaceTask] = {
    "gaussian-1.5": FaceTask("Gaussian blur 1.5, σ = 0.01", _gaussian(1.5), 0.01),
    "gaussian-2.5-reflect": FaceTask(
        "Gaussian blur 2.5, reflecting, σ = 0.005", _gaussian(2.5, "reflect"), 0.005
    ),
    "gaussian-1-zero": FaceTask("Gaussian blur 1, zero around, σ = 0.05", _gaussian(1.0, "zero"), 0.05),
    "gaussian-3": FaceTask("Gaussian blur 3, σ = 0.02", _gaussian(3.0), 0.02),
    "motion-9": FaceTask(
        "motion blur 9 px at 30°, replicating, σ = 0.02",
        _shared(lambda: Blur.motion(9, 30, SHAPE, boundary="replicate")),
        0.02,
    ),
    "uniform-5": FaceTask("uniform blur 5x5, σ = 0.1", _shared(lambda: Blur.uniform(5, SHAPE)), 0.1),
    "uniform-9": FaceTask("uniform blur 9x9, σ = 0.005", _shared(lambda: Blur.uniform(9, SHAPE)), 0.005),
    "sr4": FaceTask("SR×4, σ = 0.1", _shared(lambda: Downsample(4, SHAPE)), 0.1),
    "sr8": FaceTask("SR×8, σ = 0.01", _shared(lambda: Downsample(8, SHAPE)), 0.01),
    "missing-30": FaceTask("30 % missing, σ = 0.05", _missing(0.3), 0.05),
    "missing-60": FaceTask("60 % missing, σ = 0.15", _missing(0.6), 0.15),
    "missing-80": FaceTask("80 % missing, σ = 0.01", _missing(0.8), 0.01),
    "missing-90": FaceTask("90 % missing, σ = 0", _missing(0.9), 0.0),
    "box-31": FaceTask("box 31x31, σ = 0.01", _shared(lambda: Mask.box(31, dim_shape=SHAPE)), 0.01),
    "box-11": FaceTask("box 11x11, σ = 0.1", _shared(lambda: Mask.box(11, dim_shape=SHAPE)), 0.1),
    **{
        f"denoise-{sigma:g}": FaceTask(f"denoising, σ = {sigma:g}", _shared(lambda: Identity(SHAPE)), sigma)
        for sigma in (0.02, 0.15, 0.3)
    },
    "mosaic": FaceTask("mosaic of colours, σ = 0.02", _shared(lambda: Mosaic(SHAPE)), 0.02),
    "radon-30": FaceTask("Radon, 30 angles, σ = 0.5", _shared(lambda: Radon(30, SHAPE)), 0.5),
    "projection-1000": FaceTask("random projection, m = 1000, σ = 0.01", _projection(1000), 0.01),
    "projection-3000": FaceTask("random projection, m = 3000, σ = 0.01", _projection(3000), 0.01),
    "fourier-4": FaceTask(
        "Fourier, a fourth of the lines, σ = 0.01",
        _shared(lambda: Fourier(FOURTH_OF_THE_LINES, SHAPE)),
        0.01,
    ),
}
"""All problems, by the names that ``--problem`` takes."""


def measure(
    problem: fs.InverseProblem, prior: Any, batch: int, max_iter: int | None = None
) -> dict[str, Any]:
    """Return PSNR of `auto` and of every classical restoration by image, time, and what was chosen."""
    assert problem.x_true is not None
    parts = torch.arange(len(problem)).split(batch)
    psnr: dict[str, list[float]] = {}
    restored = []
    for part in map(problem.select, parts):
        for name, baseline in baselines.suited_baselines(part).items():
            psnr.setdefault(name, []).extend(fs.psnr(baseline(part), part.x_true).tolist())
        restored.append(restore(part, prior, max_iter=max_iter))
    x, best = torch.cat([one.x for one in restored]), best_of(psnr)
    chosen = restored[0].method
    assert chosen is not None

    def share(seconds: list[float]) -> float:
        return sum(s * len(part) for s, part in zip(seconds, parts, strict=True)) / len(problem)

    return {
        "auto": fs.psnr(x, problem.x_true).tolist(),
        "classical": psnr,
        "best_classical": best,
        "seconds": share([one.seconds for one in restored]),
        "cpu_seconds": share([one.cpu_seconds for one in restored]),
        "fallbacks": sum(one.fallbacks for one in restored),
        "reason": chosen.reason,
        "method": chosen.as_json(),
    }


def gains(entry: dict[str, Any]) -> np.ndarray:
    """Return by how many dB `auto` is above the best classical restoration, image by image."""
    return np.subtract(entry["auto"], entry["classical"][entry["best_classical"]])


def report(problems: dict[str, Any], prior: str) -> str:
    """Return the page: a line for each problem, and the mean of all."""
    lines = []
    for name in filter(problems.__contains__, PROBLEMS):
        entry = problems[name]
        above, best = gains(entry), entry["best_classical"]
        cells = [f"{np.mean(entry['classical'][best]):.2f} ({best})", f"{np.mean(entry['auto']):.2f}"]
        cells += [f"{above.mean():+.2f}", f"{above.min():+.2f}", f"{entry['cpu_seconds']:.2f}"]
        sent_back = f" ({entry['fallbacks']} images: the classical start)" if entry["fallbacks"] else ""
        lines.append([PROBLEMS[name].title, len(above), *cells, entry["reason"] + sent_back])
    head = ["problem", "images", "best classical", "auto", "mean gain", "least gain", "CPU s/image"]
    about = (
        f"PSNR in dB on validation faces; prior `{prior}`. Best classical: the restoration of the highest "
        "mean, also of those whose weight is chosen by the truth (-best). Gains are those of `auto` over it; "
        "seconds are an image's share of its batch on all cores together."
    )
    means = [gains(entry).mean() for entry in problems.values()]
    total = f"Mean gain of {len(means)} problems: {np.mean(means):+.2f} dB; least: {min(means):+.2f} dB."
    by = sorted({entry["by"] for entry in problems.values() if "by" in entry})
    parts = ["# Problems that no row has", about, table([*head, "what auto chose"], lines), total]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in by)] if len(by) > 1 else parts)


def main(arguments: list[str] | None = None) -> int:
    """Measure the problems, save each when it is there, print the table."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=8, help="validation images")
    made.add_argument("--batch", type=int, default=10, help="images restored at a time")
    made.add_argument("--problem", action="append", choices=list(PROBLEMS), help="default: all")
    made.add_argument("--prior", default="faces64", help="name or file")
    made.add_argument("--max-iter", type=int, help="at most so many iterations, for quick trials")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x = faces(options.data, "celeba64-val.zip", options.images)
    prior = fs.load_prior(options.prior)
    problems = read(NAME, options).get("problems", {}) if options.problem else {}
    for name in options.problem or PROBLEMS:
        entry = measure(PROBLEMS[name].problem(x), prior, options.batch, options.max_iter)
        problems[name] = entry | {"by": made_by(environment(options.threads))}
        above = gains(entry)
        print(f"{name}: {above.mean():+.2f} dB, least {above.min():+.2f}; {entry['reason']}", flush=True)
        save(NAME, options, {"problems": problems}, report(problems, prior.name), quiet=True)
    print(report(problems, prior.name))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
