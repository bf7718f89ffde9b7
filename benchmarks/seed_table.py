"""The table of Oberlin & Verm with a prior that was trained as theirs was.

Their protocol (``oberlin-verm-2021``) on their five tasks in both formulations, on test faces, with
``faces64-seed``: uniform noise of width 1/32 on images that are not quantised. Beside it stand the printed
figures, which are of other images and a prior of 61 M parameters, and what `flowsolve.restore` gives with
``faces64``. SSIM is given as their code computes it, with the range of the reconstruction, and with the
range 1 that all other tables have. Images are restored a few at a time and saved; the same command goes on::

    python -m benchmarks.seed_table --images 50 [--prior faces64-seed] [--threads 1]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity

import flowsolve as fs

from .paper_rows import PAPER_ROWS
from .reporting import faces, parser, quality, read, save, spread, table
from .restoring import timed

NAME = "seed_table"

ROWS = ("deblur-0", "sr2-0", "sr4-0", "random-0", "box-0")
FORMULATIONS = ("analysis", "synthesis")


def as_published_ssim(x: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """Return SSIM with the range of the reconstruction, max − min, image by image."""
    found = []
    for image, true in zip(x.clamp(0, 1), truth, strict=True):
        shown, wanted = (i.permute(1, 2, 0).double().cpu().numpy() for i in (image, true))
        span = float(shown.max() - shown.min())
        found.append(float(structural_similarity(wanted, shown, data_range=span, channel_axis=-1)))
    return found


def measure(row: str, x: torch.Tensor, first: int, prior: Any, max_iter: int | None) -> dict[str, Any]:
    """Return the figures of both formulations on some of the images, the first of which is number `first`."""
    task = PAPER_ROWS[row].task
    count = first + len(x)
    operator = task.operator(count, 0)
    y = fs.degrade(operator, torch.cat([torch.zeros(first, *x.shape[1:]), x]), sigma=0.0, seed=0)
    problem = fs.InverseProblem(operator, y, sigma=0.0).select(range(first, count))
    found = {}
    for preset, preset_task, formulation in PAPER_ROWS[row].protocols:
        protocol = preset, preset_task, formulation

        def run(protocol: tuple[str, str, str] = protocol) -> fs.Result:
            return fs.presets.run(*protocol, problem, prior, max_iter=max_iter)

        result, seconds, cpu = timed(run, len(x))
        found[formulation] = {
            **quality(result.x, x),
            "ssim_as_published": as_published_ssim(result.x, x),
            "seconds": [seconds] * len(x),
            "cpu_seconds": [cpu] * len(x),
        }
    return found


def report(rows: dict[str, Any], prior: str) -> str:
    """Return the page."""
    head = ["task", "images", "analysis", "synthesis", "printed, analysis / synthesis", "analysis better on"]
    head += ["SSIM as published, analysis / synthesis", "SSIM, analysis / synthesis", "CPU s/image"]
    lines = []
    for name in filter(rows.__contains__, ROWS):
        a, s = (rows[name][formulation] for formulation in FORMULATIONS)
        printed = PAPER_ROWS[name].published
        lines.append(
            [
                PAPER_ROWS[name].task.title,
                len(a["psnr"]),
                spread(a["psnr"]),
                spread(s["psnr"]),
                f"{printed['analysis']:.2f} / {printed['synthesis']:.2f}",
                f"{100 * np.mean(np.greater(a['psnr'], s['psnr'])):.0f} %",
                f"{np.mean(a['ssim_as_published']):.3f} / {np.mean(s['ssim_as_published']):.3f}",
                f"{np.mean(a['ssim']):.3f} / {np.mean(s['ssim']):.3f}",
                f"{np.mean(a['cpu_seconds']):.1f} / {np.mean(s['cpu_seconds']):.1f}",
            ]
        )
    about = (
        f"PSNR in dB, mean ± population standard deviation over test faces; prior `{prior}`, protocol "
        "`oberlin-verm-2021` at full length. SSIM as published takes max − min of the reconstruction for the "
        "range. Printed figures are of other images and of a prior of 61 M parameters."
    )
    return "\n\n".join(["# The table of Oberlin and Verm", about, table(head, lines)])


def joined(before: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of some images followed by those of more."""
    return {
        formulation: {key: before.get(formulation, {}).get(key, []) + value for key, value in found.items()}
        for formulation, found in more.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=50)
    made.add_argument("--batch", type=int, default=5, help="images at a time")
    made.add_argument("--prior", default="faces64-seed", help="name or file")
    made.add_argument("--row", action="append", choices=ROWS, help="default: all")
    made.add_argument("--max-iter", type=int, help="at most so many iterations, for quick trials")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x, prior = faces(options.data, "celeba64-test50.zip", options.images), fs.load_prior(options.prior)
    found = read(NAME, options)
    settings = {"prior": prior.name, "sha256": prior.sha256, "max_iter": options.max_iter}
    rows = found["rows"] if found.get("settings") == settings else {}
    for first in range(0, len(x), options.batch):
        part = x[first : first + options.batch]
        for name in options.row or ROWS:
            if len(rows.get(name, {}).get("analysis", {}).get("psnr", [])) > first:
                continue
            began = time.perf_counter()
            rows[name] = joined(rows.get(name, {}), measure(name, part, first, prior, options.max_iter))
            save(NAME, options, {"settings": settings, "rows": rows}, report(rows, prior.name), quiet=True)
            print(f"{name}: {first + len(part)} images, {time.perf_counter() - began:.0f} s", flush=True)
    print(report(rows, prior.name))


if __name__ == "__main__":
    main(sys.argv[1:])
