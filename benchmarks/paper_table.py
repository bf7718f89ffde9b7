"""The papers' tables on fixed test faces: classical restorations, the published protocols, and ours.

Every method of a row gets the same images, masks and noise. Ours is what the plain command gives, the
method ``auto``, which knows nothing of rows; beside it stands the method that :mod:`.tune_faces` froze for
the row on validation faces. Each figure is saved when it is there: with ``--missing`` a run that was killed
goes on where it was, and measures besides only what other settings, or another choice of ``auto``, change::

    python -m benchmarks.paper_table --images 50 --no-protocols [--row deblur-0.01] [--missing]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve.methods import Method, plan_method

from . import gallery
from .frozen import FROZEN, frozen_method, in_a_line
from .paper_rows import PAPER_ROWS, SEED, Row, classical, mean_face
from .reporting import faces, parser, quality, read, save, spread, table
from .restoring import Restored, best_of, restore, timed, without_truth

NAME, OURS, TUNED = "paper_table", "ours", "frozen"

BATCH = 10
"""Images solved at a time."""


@dataclass(frozen=True)
class Column:
    """One column of a row: how it restores, on how many images, and what its figures depend on.

    A published method is `serial`: its code takes one image after the other. Its images are computed together
    here, which gives the same ones sooner, but its time is that of an image alone.
    """

    run: Callable[[fs.InverseProblem], Restored]
    images: int
    settings: dict[str, Any]
    serial: bool = False


def classical_column(name: str, mean: torch.Tensor, images: int) -> Column:
    """Return a baseline."""

    def run(problem: fs.InverseProblem) -> Restored:
        x, seconds, cpu = timed(lambda: classical(name, problem, mean), len(problem))
        return Restored(x, seconds, cpu, np.zeros(len(problem)))

    return Column(run, images, {"images": images})


def protocol_column(
    protocol: tuple[str, str, str], prior: Any, images: int, max_iter: int | None = None
) -> Column:
    """Return a published protocol, as its code runs it, with our prior."""

    def run(problem: fs.InverseProblem) -> Restored:
        result, _, cpu = timed(
            lambda: fs.presets.run(*protocol, problem, prior, max_iter=max_iter), len(problem)
        )
        return Restored(result.x, result.seconds / len(problem), cpu, result.counts["evaluations"])

    settings = {"images": images, "protocol": protocol, "max_iter": max_iter, "prior": prior.name}
    return Column(run, images, settings, serial=True)


def method_column(
    method: Method | str, planned: Method, prior: Any, images: int, max_iter: int | None
) -> Column:
    """Return a method of ours; its figures depend on the stages that it is, or plans."""

    def run(problem: fs.InverseProblem) -> Restored:
        return restore(problem, prior, method, max_iter)

    document = planned.as_json()
    settings = {"images": images, "stages": document["stages"], "max_iter": max_iter, "prior": prior.name}
    if planned.reason:
        settings["reason"] = planned.reason
    return Column(run, images, settings)


def columns(
    row: Row,
    tuned: Method | None,
    problem: fs.InverseProblem,
    prior: Any,
    mean: torch.Tensor,
    options: argparse.Namespace,
) -> dict[str, Column]:
    """Return the columns of a row by name: baselines, protocols, `OURS`, and `TUNED` where it is frozen."""
    found = {name: classical_column(name, mean, options.images) for name in row.classical}
    for protocol in row.protocols if options.seed_images and not options.no_protocols else ():
        images = min(options.seed_images, options.images)
        found[f"{protocol[0]} {protocol[2]}"] = protocol_column(protocol, prior, images, options.max_iter)
    first = without_truth(problem.select(range(min(BATCH, len(problem)))))
    ours = {OURS: ("auto", plan_method("auto", first, prior))}
    if tuned is not None:
        ours[TUNED] = (tuned, tuned)
    for name, (method, planned) in ours.items():
        found[name] = method_column(method, planned, prior, options.images, options.max_iter)
    return found


def measure(column: Column, problem: fs.InverseProblem) -> tuple[dict[str, Any], torch.Tensor]:
    """Return the figures of a column, image by image, and its images, restored `BATCH` at a time."""
    assert problem.x_true is not None
    truth = problem.x_true[: column.images]
    parts = [column.run(problem.select(index)) for index in torch.arange(len(truth)).split(BATCH)]
    x = torch.cat([part.x for part in parts])
    entry = {
        "evaluations": np.concatenate([part.evaluations for part in parts]).tolist(),
        "seconds": sum(part.seconds * len(part.x) for part in parts) / len(x),
        "cpu_seconds": sum(part.cpu_seconds * len(part.x) for part in parts) / len(x),
        "fallbacks": sum(part.fallbacks for part in parts),
        "digest": digest(column),
    }
    return {**column.settings, **quality(x, truth), **entry}, x


def seconds_of(entry: dict[str, Any]) -> float:
    """Return the seconds an image of a method: alone where it was timed alone, else its share of a batch."""
    return entry.get("seconds_alone", entry["seconds"])


def digest(column: Column) -> str:
    """Return what tells figures with other settings apart."""
    return hashlib.sha256(json.dumps(column.settings, sort_keys=True).encode()).hexdigest()[:16]


def best_classical(row: str, figures: dict[str, Any], images: int | None = None) -> str:
    """Return the name of the baseline with the highest mean PSNR over the first images."""
    names = [name for name in PAPER_ROWS[row].classical if name in figures]
    return best_of({name: figures[name]["psnr"][:images] for name in names})


def summary(rows: dict[str, Any]) -> str:
    """Return the table of the rows: best baseline, protocols, ours and frozen, gains, what papers print."""
    head = ["row", "best classical", "seed synthesis", "seed analysis", "GlowIP", OURS, TUNED]
    head += ["ours over frozen", "over classical", "images above classical", "over best protocol"]
    head += ["evaluations", "CPU s/image", "printed"]
    lines = []
    most = max((entry["images"] for figures in rows.values() for entry in figures.values()), default=0)
    for name in filter(rows.__contains__, PAPER_ROWS):
        figures, row = rows[name], PAPER_ROWS[name]
        if not set(row.classical) & set(figures):
            # Begun anew, and nothing to compare with is measured yet.
            continue
        best = best_classical(name, figures)
        protocols = {f"{p[0]} {p[2]}": figures.get(f"{p[0]} {p[2]}") for p in row.protocols}
        fewer = _fewer(figures[best], {"images": most})
        cells = [row.task.title + fewer, f"{spread(figures[best]['psnr'])} ({best})"]
        for wanted in (f"{SEED} synthesis", f"{SEED} analysis", "asim-2020 synthesis", OURS, TUNED):
            entry = {**figures, **protocols}.get(wanted)
            cells.append("" if entry is None else f"{spread(entry['psnr'])}{_fewer(entry, figures[best])}")
        beside = [entry for entry in protocols.values() if entry]
        cells += _ours(figures.get(OURS), figures.get(TUNED), figures[best], beside)
        cells.append(", ".join(f"{who} {value:.2f}" for who, value in row.published.items()))
        lines.append(cells)
    return table(head, lines)


def _fewer(entry: dict[str, Any], all_images: dict[str, Any]) -> str:
    return f" (first {entry['images']})" if entry["images"] < all_images["images"] else ""


def _ours(
    ours: dict[str, Any] | None,
    tuned: dict[str, Any] | None,
    best: dict[str, Any],
    protocols: list[dict[str, Any]],
) -> list[str]:
    if ours is None:
        return [""] * 6
    gains = gain(ours, best)
    return [
        "" if tuned is None else f"{gain(ours, tuned).mean():+.2f}",
        f"{gains.mean():+.2f}",
        f"{100 * np.mean(gains > 0):.0f} %",
        _over(ours, protocols),
        f"{np.mean(ours['evaluations']):.0f}",
        f"{ours['cpu_seconds']:.2f}",
    ]


def gain(entry: dict[str, Any], other: dict[str, Any]) -> np.ndarray:
    """Return by how many dB each image of an entry is above another's, on the images that both have."""
    both = min(entry["images"], other["images"])
    return np.subtract(entry["psnr"][:both], other["psnr"][:both])


def _over(ours: dict[str, Any], protocols: list[dict[str, Any]]) -> str:
    """Return the gain over the best protocol, on the images it ran on, and its time by ours."""
    if not protocols:
        return ""
    gains = [gain(ours, protocol).mean() for protocol in protocols]
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
            f"{entry['cpu_seconds']:.2f}" if "cpu_seconds" in entry else "",
        ]
        for name in filter(rows.__contains__, PAPER_ROWS)
        for method, entry in rows[name].items()
    ]
    head = ["row", "method", "images", "PSNR", "SSIM", "evaluations", "s/image", "CPU s/image"]
    return table(head, lines)


def report(rows: dict[str, Any], prior: str) -> str:
    """Return the whole page."""
    about = (
        f"PSNR in dB and SSIM (data range 1), mean ± population standard deviation over images; prior "
        f"`{prior}`. `ours` is what `fs.restore(problem, prior)` gives, `frozen` the stages found for the "
        "row on validation faces; images above classical: the share of images on which `ours` is above the "
        "classical restoration of the highest mean. Names ending in -best choose their weight by the truth. "
        "Protocols: `oberlin-verm-2021` (the seed) and `asim-2020` (GlowIP) as their code runs them, with "
        "this prior and on these images; their seconds are those of an image alone, as their code takes "
        "them, ours and the baselines' an "
        f"image's share of {BATCH} at a time; CPU seconds are those of all cores together. "
        "Rows may be of different runs and machines: compare times within a row. "
        "Printed figures are of other images and priors."
    )
    parts = ["# The papers' tables", about, summary(rows), "## Every method", details(rows)]
    for which, title in ((OURS, "## What auto chose"), (TUNED, "## The frozen methods")):
        labels = [_label(name, rows[name][which]) for name in PAPER_ROWS if which in rows.get(name, {})]
        parts += [title, "\n".join(labels)]
    return "\n\n".join(parts)


def _label(row: str, entry: dict[str, Any]) -> str:
    stages = in_a_line(Method.from_json(entry["stages"]))
    sent_back = entry.get("fallbacks", 0)
    parts = [PAPER_ROWS[row].task.title, entry.get("reason", ""), stages]
    parts += [f"{sent_back} of {entry['images']} images are the classical start"] if sent_back else []
    return "- " + "; ".join(filter(None, parts))


def main(arguments: list[str] | None = None) -> int:
    """Measure the rows, save each figure when it is there, print the table."""
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=50, help="test images")
    made.add_argument(
        "--seed-images", type=int, default=10, help="of them for the published protocols (dear)"
    )
    made.add_argument("--row", action="append", choices=list(PAPER_ROWS), help="default: all")
    made.add_argument("--prior", default="faces64", help="name or file")
    made.add_argument("--configs", type=Path, default=FROZEN, help="the frozen methods")
    made.add_argument("--max-iter", type=int, help="at most so many iterations, for quick trials")
    made.add_argument("--no-protocols", action="store_true", help="leave the published protocols out")
    made.add_argument(
        "--missing", action="store_true", help="measure only what is not there with the same settings"
    )
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
    """Measure a row, or what is missing of it, and save each figure."""
    tuned = frozen_method(name, options.configs)
    if tuned is None:
        print(f"{name}: no method in {options.configs}, run benchmarks.tune_faces", file=sys.stderr)
    problem = PAPER_ROWS[name].task.problem(x)
    figures = rows.get(name, {})
    wanted = columns(PAPER_ROWS[name], tuned, problem, prior, mean, options)
    for which, column in wanted.items():
        fresh = not (options.missing and figures.get(which, {}).get("digest") == digest(column))
        if fresh:
            figures[which], restored = measure(column, problem)
            if options.gallery is not None:
                gallery.keep(options.gallery, name, which, restored)
        untimed = column.serial and "seconds_alone" not in figures[which]
        if untimed:
            figures[which]["seconds_alone"] = column.run(problem.select([0])).seconds
        if not fresh and not untimed:
            continue
        seconds = seconds_of(figures[which])
        print(f"{name}: {which}: {spread(figures[which]['psnr'])} dB, {seconds:.2f} s/image", flush=True)
        rows[name] = {which: figures[which] for which in [*wanted, *figures] if which in figures}
        save(NAME, options, {"rows": rows}, report(rows, prior.name), quiet=True)
    if options.gallery is not None and OURS in figures:
        protocols = [f"{p[0]} {p[2]}" for p in PAPER_ROWS[name].protocols]
        shown = [best_classical(name, figures), *filter(figures.__contains__, [*protocols, TUNED]), OURS]
        gallery.page(options.gallery, name, problem, shown, PAPER_ROWS[name].task.title)


if __name__ == "__main__":
    raise SystemExit(main())
