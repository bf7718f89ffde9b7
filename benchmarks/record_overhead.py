"""What recording costs: share of the solver's time, and bytes an iteration.

Batch 16 of 64x64 photographs behind random masks, the bundled prior, with the default intervals::

    python -m benchmarks.record_overhead [--iterations 150] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
import torch
from skimage.transform import resize

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.solvers import make_solver

SOLVERS = ("gradient_descent", "adam", "lbfgs", "forward_backward")
SHAPE = (3, 64, 64)


def photographs(n: int) -> torch.Tensor:
    """Return n crops of scikit-image's photographs, (n, 3, 64, 64) in [0, 1]."""
    sources = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    crops = []
    for i in range(n):
        source = sources[i % len(sources)]
        top, left = 20 * (i // len(sources)), 30 * (i // len(sources))
        crops.append(resize(source[top : top + 200, left : left + 200], SHAPE[1:], anti_aliasing=True))
    return torch.tensor(np.stack(crops).transpose(0, 3, 1, 2), dtype=torch.float32)


def measure(solver: str, problem: fs.InverseProblem, prior: object, iterations: int) -> dict[str, float]:
    """Return seconds of solver and recorder, their ratio, and file sizes of one run."""
    limits = {"max_iter": iterations, "max_evaluations": None, "max_seconds": None, "rtol": None}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        run = fs.Run(fs.Analysis(problem, prior), make_solver(solver), "harmonic", limits=limits)
        run.record_to(path)
        sizes = []
        with run:
            for progress in run:
                if progress.iteration == iterations:
                    run.writer.flush()
                    sizes.append(path.stat().st_size)
        final = path.stat().st_size
        with fs.open_run(path).open() as file:
            trace = sum(d.id.get_storage_size() for d in file["trace"].values())
    return {
        "solver_seconds": run.seconds,
        "recording_seconds": run.writer.seconds,
        "share_percent": 100 * run.writer.seconds / run.seconds,
        "file_while_running_bytes": sizes[0],
        "file_finished_bytes": final,
        "trace_bytes_per_iteration": trace / (iterations + 1),
    }


def main() -> None:
    """Measure every solver and print a table; with --json FILE, write the figures too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    prior = fs.load_prior("faces64")
    x = photographs(options.images)
    operator = ops.Mask.random(missing=0.6, dim_shape=SHAPE, seed=0, n_images=options.images)
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0), sigma=0, x_true=x)
    rows = {solver: measure(solver, problem, prior, options.iterations) for solver in SOLVERS}
    print("| solver | solver s | recording s | share | running MB | finished MB | trace B/iteration |")
    print("|" + "---|" * 7)
    for solver, row in rows.items():
        print(
            f"| {solver} | {row['solver_seconds']:.1f} | {row['recording_seconds']:.2f} | "
            f"{row['share_percent']:.2f} % | {row['file_while_running_bytes'] / 1e6:.1f} | "
            f"{row['file_finished_bytes'] / 1e6:.1f} | {row['trace_bytes_per_iteration']:.0f} |"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
