"""The papers' tables on fixed test faces: classical restorations, the published protocols, and ours.

Every method of a row gets the same images, masks and noise. Ours are the configurations that
:mod:`.tune_faces` froze on validation faces. What is finished is saved at once: a run that was killed goes
on where it was, and one with other settings measures anew what they change::

    python -m benchmarks.paper_table --images 50 --seed-images 10 [--row deblur-0.01] [--gallery DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs

from . import gallery
from .configurations import FROZEN, Configuration, frozen
from .paper_rows import PAPER_ROWS, SEED, Row, classical, mean_face
from .reporting import faces, parser, quality, read, save, spread, table

NAME, OURS, QUICK = "paper_table", "ours", "ours, a quarter of the iterations"
SHORTER = 4
"""How many times fewer iterations `QUICK` takes than `OURS`."""

BATCH = 10
"""Images solved at a time."""


@dataclass(frozen=True)
class Measured:
    """Restored images (N, 3, 64, 64), evaluations of each, and seconds an image."""

    x: torch.Tensor
    evaluations: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Method:
    """One column of a row: how it restores, on how many images, and what its figures depend on.

    A published method is `serial`: its code takes one image after the other. Its images are computed together
    here, which gives the same ones sooner, but its time is that of an image alone.
    """

    run: Callable[[fs.InverseProblem], Measured]
    images: int
    settings: dict[str, Any]
    serial: bool = False


def classical_method(name: str, mean: torch.Tensor, images: int) -> Method:
    """Return a baseline."""

    def run(problem: fs.InverseProblem) -> Measured:
        began = time.perf_counter()
        x = classical(name, problem, mean)
        return Measured(x, np.zeros(len(problem)), (time.perf_counter() - began) / len(problem))

    return Method(run, images, {"images": images})


def protocol_method(
    protocol: tuple[str, str, str], prior: Any, images: int, max_iter: int | None = None
) -> Method:
    """Return a published protocol, as its code runs it, with our prior."""

    def run(problem: fs.InverseProblem) -> Measured:
        result = fs.presets.run(*protocol, problem, prior, max_iter=max_iter)
        return Measured(result.x, result.counts["evaluations"], result.seconds / len(problem))

    settings = {"images": images, "protocol": protocol, "max_iter": max_iter, "prior": prior.name}
    return Method(run, images, settings, serial=True)


def our_method(
    configuration: Configuration, prior: Any, mean: torch.Tensor, images: int, max_iter: int | None = None
) -> Method:
    """Return our restoration by a frozen configuration."""

    def run(problem: fs.InverseProblem) -> Measured:
        found = configuration.restore(problem, prior, {"mean": mean}, max_iter=max_iter)
        return Measured(found.x, found.evaluations, found.seconds / len(problem))

    stages = configuration.as_json()
    settings = {"images": images, "stages": stages, "max_iter": max_iter, "prior": prior.name}
    return Method(run, images, settings)


def methods(row: Row, entry: dict[str, Any] | None, prior: Any, mean: torch.Tensor, options: Any) -> dict:
    """Return the methods of a row by name: baselines, protocols, and ours where there is a configuration."""
    found = {name: classical_method(name, mean, options.images) for name in row.classical}
    for protocol in row.protocols if options.seed_images else ():
        name = f"{protocol[0]} {protocol[2]}"
        found[name] = protocol_method(
            protocol, prior, min(options.seed_images, options.images), options.max_iter
        )
    if entry is not None:
        configuration = Configuration.from_json(entry["stages"])
        found[OURS] = our_method(configuration, prior, mean, options.images, options.max_iter)
        if row.task.sigma == 0:
            # Beside the protocols of the seed, which are of noiseless rows.
            quick = configuration.shortened(SHORTER)
            found[QUICK] = our_method(quick, prior, mean, options.images, options.max_iter)
    return found


def in_batches(method: Method, problem: fs.InverseProblem) -> Measured:
    """Return a method's restorations of its first images, some at a time."""
    parts = []
    for first in range(0, method.images, BATCH):
        index = list(range(first, min(first + BATCH, method.images)))
        parts.append((method.run(problem.select(index)), len(index)))
    seconds = sum(part.seconds * n for part, n in parts) / method.images
    evaluations = np.concatenate([part.evaluations for part, _ in parts])
    return Measured(torch.cat([part.x for part, _ in parts]), evaluations, seconds)


def measure(method: Method, problem: fs.InverseProblem) -> tuple[dict[str, Any], torch.Tensor]:
    """Return the figures of a method, image by image, and its images."""
    found = in_batches(method, problem)
    assert problem.x_true is not None
    figures = quality(found.x, problem.x_true[: method.images])
    entry = {"evaluations": found.evaluations.tolist(), "seconds": found.seconds, "digest": digest(method)}
    return {**method.settings, **figures, **entry}, found.x


def seconds_of(entry: dict[str, Any]) -> float:
    """Return the seconds an image of a method: alone where it was timed alone, else its share of a batch."""
    return entry.get("seconds_alone", entry["seconds"])


def digest(method: Method) -> str:
    """Return what tells figures with other settings apart."""
    return hashlib.sha256(json.dumps(method.settings, sort_keys=True).encode()).hexdigest()[:16]


def best_classical(row: str, figures: dict[str, Any], images: int | None = None) -> str:
    """Return the name of the baseline with the highest mean PSNR over the first images."""
    names = [name for name in PAPER_ROWS[row].classical if name in figures]
    return max(names, key=lambda name: np.mean(figures[name]["psnr"][:images]))


def summary(rows: dict[str, Any]) -> str:
    """Return the table of the rows: best baseline, protocols, ours, gains, and what the papers print."""
    head = ["row", "best classical", "seed synthesis", "seed analysis", "GlowIP", "ours"]
    head += ["over classical", "over best protocol", "evaluations", "s/image", QUICK, "printed"]
    lines = []
    most = max((entry["images"] for figures in rows.values() for entry in figures.values()), default=0)
    for name in filter(rows.__contains__, PAPER_ROWS):
        figures, row = rows[name], PAPER_ROWS[name]
        best, ours = best_classical(name, figures), figures.get(OURS)
        protocols = {f"{p[0]} {p[2]}": figures.get(f"{p[0]} {p[2]}") for p in row.protocols}
        fewer = _fewer(figures[best], {"images": most})
        cells = [row.task.title + fewer, f"{spread(figures[best]['psnr'])} ({best})"]
        for wanted in (f"{SEED} synthesis", f"{SEED} analysis", "asim-2020 synthesis"):
            entry = protocols.get(wanted)
            cells.append("" if entry is None else f"{spread(entry['psnr'])}{_fewer(entry, figures[best])}")
        beside = [entry for entry in protocols.values() if entry]
        cells += _ours(ours, figures[best], beside)
        quick = figures.get(QUICK)
        cells.append("" if quick is None else f"{np.mean(quick['psnr']):.2f}; {_over(quick, beside)}")
        cells.append(", ".join(f"{who} {value:.2f}" for who, value in row.published.items()))
        lines.append(cells)
    return table(head, lines)


def _fewer(entry: dict[str, Any], all_images: dict[str, Any]) -> str:
    return f" (first {entry['images']})" if entry["images"] < all_images["images"] else ""


def _ours(ours: dict[str, Any] | None, best: dict[str, Any], protocols: list[dict[str, Any]]) -> list[str]:
    if ours is None:
        return [""] * 5
    gain = np.mean(ours["psnr"]) - np.mean(best["psnr"])
    return [
        spread(ours["psnr"]),
        f"{gain:+.2f}",
        _over(ours, protocols),
        f"{np.mean(ours['evaluations']):.0f}",
        f"{ours['seconds']:.1f}",
    ]


def _over(ours: dict[str, Any], protocols: list[dict[str, Any]]) -> str:
    """Return the gain over the best protocol, on the images it ran on, and its time by ours."""
    if not protocols:
        return ""
    gains = [np.mean(ours["psnr"][: p["images"]]) - np.mean(p["psnr"]) for p in protocols]
    times = [seconds_of(p) / ours["seconds"] for p in protocols]
    return f"{min(gains):+.2f} ({times[int(np.argmin(gains))]:.1f} x our time)"


def details(rows: dict[str, Any]) -> str:
    """Return the table of every method of every row."""
    lines = [
        [
            name,
            method,
            entry["images"],
            spread(entry["psnr"]),
            spread(entry["ssim"], 3),
            f"{np.mean(entry['evaluations']):.0f}",
            f"{seconds_of(entry):.2f}",
        ]
        for name in filter(rows.__contains__, PAPER_ROWS)
        for method, entry in rows[name].items()
    ]
    return table(["row", "method", "images", "PSNR", "SSIM", "evaluations", "s/image"], lines)


def report(rows: dict[str, Any], prior: str) -> str:
    """Return the whole page."""
    about = (
        f"PSNR in dB and SSIM (data range 1), mean ± population standard deviation over images; prior "
        f"`{prior}`. Names ending in -best choose their weight by the truth. Protocols: `oberlin-verm-2021` "
        "(the seed) and `asim-2020` (GlowIP) as their code runs them, with this prior and on these images; "
        "their seconds are those of an image alone, as their code takes them, ours and the baselines' an "
        f"image's share of {BATCH} at a time. "
        "Rows may be of different runs and machines: compare times within a row. "
        "Printed figures are of other images and priors."
    )
    parts = ["# The papers' tables", about, summary(rows), "## Every method", details(rows)]
    labels = [
        f"- {PAPER_ROWS[name].task.title}: {Configuration.from_json(rows[name][OURS]['stages']).label()}"
        for name in PAPER_ROWS
        if OURS in rows.get(name, {})
    ]
    return "\n\n".join([*parts, "## Our configurations", "\n".join(labels)])


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing, save each figure when it is there, print the table."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=50, help="test images")
    made.add_argument(
        "--seed-images", type=int, default=10, help="of them for the published protocols (dear)"
    )
    made.add_argument("--row", action="append", choices=list(PAPER_ROWS), help="default: all")
    made.add_argument("--prior", default="faces64", help="name or file")
    made.add_argument("--configs", type=Path, default=FROZEN, help="our configurations")
    made.add_argument("--max-iter", type=int, help="at most so many iterations, for quick trials")
    made.add_argument("--force", action="store_true", help="measure anew what is there")
    made.add_argument("--gallery", type=Path, help="folder for pages of our worst images")
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x, mean = faces(options.data, "celeba64-test50.zip", options.images), mean_face(options.data)
    options.images = len(x)
    prior = fs.load_prior(options.prior)
    rows = read(NAME, options).get("rows", {})
    for name in options.row or PAPER_ROWS:
        measure_row(name, x, prior, mean, rows, options)
    text = report(rows, prior.name)
    save(NAME, options, {"rows": rows}, text)
    return 0


def measure_row(
    name: str,
    x: torch.Tensor,
    prior: Any,
    mean: torch.Tensor,
    rows: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Measure what is missing of a row, and save it."""
    entry = frozen(options.configs).get(name)
    if entry is None:
        print(f"{name}: no configuration in {options.configs}, run benchmarks.tune_faces", file=sys.stderr)
    problem = PAPER_ROWS[name].task.problem(x)
    figures = rows.get(name, {})
    wanted = methods(PAPER_ROWS[name], entry, prior, mean, options)
    for which, method in wanted.items():
        fresh = options.force or figures.get(which, {}).get("digest") != digest(method)
        if fresh:
            figures[which], restored = measure(method, problem)
            if options.gallery is not None:
                gallery.keep(options.gallery, name, which, restored)
        untimed = method.serial and "seconds_alone" not in figures[which]
        if untimed:
            figures[which]["seconds_alone"] = method.run(problem.select([0])).seconds
        if not fresh and not untimed:
            continue
        seconds = seconds_of(figures[which])
        print(f"{name}: {which}: {spread(figures[which]['psnr'])} dB, {seconds:.2f} s/image", flush=True)
        rows[name] = {which: figures[which] for which in [*wanted, *figures] if which in figures}
        save(NAME, options, {"rows": rows}, report(rows, prior.name), quiet=True)
    if options.gallery is not None and OURS in figures:
        protocols = [f"{p[0]} {p[2]}" for p in PAPER_ROWS[name].protocols]
        columns = [best_classical(name, figures), *filter(figures.__contains__, protocols), OURS]
        gallery.page(options.gallery, name, problem, columns, PAPER_ROWS[name].task.title)


if __name__ == "__main__":
    raise SystemExit(main())
