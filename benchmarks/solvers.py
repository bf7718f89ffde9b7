"""How fast and how far each solver gets on the five tasks, on faces: tables and a figure.

Parts, each with its own results file ``solvers-PART``::

    seed     wall time to the final objective of Adam 0.1 run on one image at a time
    batch    a batch against its images one at a time
    latent   over latents: wall time to the objective of 600 iterations of L-BFGS, idea by idea
    gap      evaluations to a relative gap of 1e-3; also the figure of PSNR against F
    hybrid   F at 200 evaluations of the hybrid and of each space alone
    starts   spread of F and PSNR over five starts
    stops    which objective, start and stopping rule restore best

    python -m benchmarks.solvers [--part gap --part seed] [--images 16]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import flowsolve as fs

from . import solver_speed, solver_stops, solver_tables
from .face_tasks import FIVE
from .reporting import faces, parser, read, save

PARTS = ("seed", "batch", "latent", "gap", "hybrid", "starts", "stops")


def main() -> None:
    """Run the parts asked for and write their results."""
    arguments = parser(__doc__)
    arguments.add_argument("--part", choices=PARTS, action="append", help="default: all")
    arguments.add_argument("--task", choices=FIVE, action="append", help="default: all")
    arguments.add_argument("--images", type=int, default=16, help="test images")
    arguments.add_argument("--iterations", type=int, default=1000, help="of the seed's loop")
    arguments.add_argument("--budget", type=int, default=200, help="evaluations, of gap and starts")
    arguments.add_argument("--prior", default="faces64-additive")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    prior = fs.load_prior(options.prior)
    x = faces(options.data, "celeba64-test50.zip", options.images)
    tasks = list(options.task or FIVE)
    for part in options.part or PARTS:
        results, text, curves = _measure(part, x, prior, tasks, options)
        save(f"solvers-{part}", options, {"images": len(x), "prior": options.prior, **results}, text)
        if curves:
            draw(curves, options.out / f"solvers-{part}.png", "seconds" if part == "latent" else "value")


def _measure(
    part: str, x: torch.Tensor, prior: Any, tasks: list[str], options: Any
) -> tuple[dict, str, dict]:
    """Return results, table and curves of a part."""
    if part == "seed":
        return *solver_speed.against_the_seed(x, prior, tasks, options.iterations), {}
    if part == "batch":
        return *solver_speed.batched(x, prior), {}
    if part == "latent":
        return solver_speed.latent_speed(x, prior, options.iterations / 1000)
    if part == "gap":
        return solver_tables.evaluations_to_gap(x, prior, tasks, options.budget)
    if part == "hybrid":
        return *solver_tables.hybrid(x, prior, tasks, options.budget), {}
    if part == "stops":
        return *solver_stops.stops(x, tasks, options.budget, read("solvers-stops", options)), {}
    return *solver_tables.starts(x, prior, tasks, options.budget), {}


def draw(curves: dict[str, Any], path: Path, axis: str) -> None:
    """Draw PSNR against F along the runs, or F and PSNR against seconds; a panel for each task."""
    from matplotlib.figure import Figure

    groups: dict[str, dict[str, Any]] = {}
    for name, curve in curves.items():
        group, title = name.split(": ") if axis == "seconds" else name.rsplit("/", 1)
        groups.setdefault(group, {})[title] = curve
    columns = ("value", "psnr") if axis == "seconds" else ("psnr",)
    width, height = (2, len(groups)) if axis == "seconds" else (2, (len(groups) + 1) // 2)
    figure = Figure(figsize=(6.5 * width, 4 * height), layout="constrained")
    panels = figure.subplots(height, width, squeeze=False)
    for k, (group, members) in enumerate(groups.items()):
        for j, column in enumerate(columns):
            panel = panels[k][j] if axis == "seconds" else panels[k // 2][k % 2]
            for title, curve in members.items():
                horizontal = curve["seconds"] if axis == "seconds" else curve["value"]
                panel.plot(horizontal, curve[column], label=title, linewidth=1.2)
            panel.set(title=group, xlabel="seconds" if axis == "seconds" else "F")
            panel.set_ylabel("F" if column == "value" else "PSNR, dB")
            if axis == "value" or column == "value":
                scale = panel.set_xscale if axis == "value" else panel.set_yscale
                scale("symlog" if min(c["value"].min() for c in members.values()) <= 0 else "log")
            if axis == "value":
                panel.invert_xaxis()
        panel.legend(fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
