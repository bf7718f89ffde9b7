"""What a record holds as files that other programs open: images, curves and a figure.

Where the record lies in the folder of its run, the images have the names that its summary gives them.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..encoding import file_kind, write_image
from ..errors import ArgumentError, FlowsolveError
from ..files import read_text, write_atomically
from ..metrics import WINDOW, psnr, ssim
from ..names import file_names
from ..recording import RunRecord
from ..report import Panel, restoration_figure, save_figure, worst
from ..words import jsonable
from .output import IMAGES, SUMMARY

CURVES, FIGURE = "curves.csv", "figure.png"

ROWS = 6
"""Most images in a figure."""


def export_record(
    record: RunRecord,
    out: Path,
    *,
    dtype: str = "uint8",
    kind: str | None = None,
    figure: str = FIGURE,
    curves: str = CURVES,
) -> list[Path]:
    """Write the images, curves and figure of a record to a folder, and return the files.

    Parameters
    ----------
    record : RunRecord
        A run, finished or not; of one that goes on, the last snapshot stands for its images.
    out : pathlib.Path
        The folder; made if need be.
    dtype, kind : str
        Of the images; see `flowsolve.encoding.file_kind`.
    figure, curves : str
        Names of these files.

    Raises
    ------
    ArgumentError
        If there is no image in the record yet.
    """
    suffix = file_kind(dtype, kind)
    x = restored_images(record)
    names = image_names(record)
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    files = [out / IMAGES / f"{name}.{suffix}" for name in names]
    for file, image in zip(files, x, strict=True):
        write_image(file, image, dtype)
    write_atomically(out / curves, curves_csv(record).encode(), "out")
    save_figure(draw_record(record, x, names), out / figure)
    return [*files, out / curves, out / figure]


def restored_images(record: RunRecord) -> np.ndarray:
    """Return the images (N, C, H, W) that a run has come to."""
    x = record.best.get("x")
    if x is not None and np.isfinite(x).all():
        return x
    snapshots = record.snapshots.get("x")
    if snapshots is None or not len(snapshots):
        given = f"{record.path}, which has no restored image yet ({record.status})"
        raise ArgumentError("record", given, "a run that has ended, or has snapshots; resume ends it")
    return snapshots[-1]


def image_names(record: RunRecord) -> list[str]:
    """Return names of a record's images: those of the summary beside it, or numbers."""
    entries = _entries(record)
    if len(entries) == record.config["n_images"] and all(isinstance(e.get("name"), str) for e in entries):
        return file_names([e["name"] for e in entries])
    return [f"image-{i}" for i in range(record.config["n_images"])]


def curves_csv(record: RunRecord) -> str:
    """Return the trace as comma-separated values, one row for each iteration and image."""
    columns = [name for name in record.trace if name != "iteration"]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["iteration", "image", *columns])
    for k, iteration in enumerate(record.trace.get("iteration", ())):
        for i in range(record.config["n_images"]):
            rows.writerow([int(iteration), i, *(record.trace[name][k, i] for name in columns)])
    return text.getvalue()


def draw_record(record: RunRecord, x: np.ndarray, names: list[str]) -> Any:
    """Return the figure of a record: its worst images, and the convergence of all."""
    problem = record.problem
    truth, y = problem.get("x_true"), problem["y"]
    decibels = None if truth is None else psnr(x, truth)
    panels = [] if truth is None else [Panel("truth", truth)]
    if y.ndim == 4 and y.shape[1] in (1, 3):
        panels.append(Panel("measured", y))
    panels += [Panel(name, image) for name, image in list(record.baselines.items())[:1]]
    panels.append(Panel("restored", x, decibels))
    rows = worst(decibels, record.trace["value"][-1], ROWS)
    error = None if truth is None else np.abs(np.clip(x, 0, 1) - truth).mean(axis=1)
    title = f"{record.path.name}: {record.config['solver']['name']}"
    return restoration_figure(panels, names, record.trace, rows=rows, error=error, title=title)


def update_folder(record: RunRecord) -> list[Path]:
    """Write images, figure and summary of a record that was continued, as ``solve`` did; return the files."""
    folder, entries = record.path.parent, _entries(record)
    outputs = [Path(str(entry.get("output", ""))) for entry in entries]
    suffix = outputs[0].suffix.removeprefix(".") if outputs else "png"
    kind = suffix if suffix in ("png", "tiff", "npy") else "png"
    dtype = "uint8" if kind == "png" else "float32"
    label = record.path.stem.removeprefix("run")
    names = {"figure": f"figure{label}.png", "curves": f"curves{label}.csv"}
    files = export_record(record, folder, dtype=dtype, kind=kind, **names)
    _update_summary(record, files)
    return [*files, folder / SUMMARY]


def _update_summary(record: RunRecord, files: list[Path]) -> None:
    folder, summary = record.path.parent, _summary(record)
    fresh, names = _per_image(record), image_names(record)
    others = [e for e in summary.get("images", []) if _record_of(e) != record.path.name]
    old = {entry.get("index"): entry for entry in _entries(record)}
    mine = [
        {"name": names[i], **old.get(i, {}), **entry, "record": record.path.name, "index": i}
        for i, entry in enumerate(fresh)
    ]
    entries = [*others, *mine]
    summary["images"] = entries
    summary["n_images"] = len(entries)
    for name in ("psnr", "ssim"):
        values = [e.get(name) for e in entries]
        known = all(isinstance(v, int | float) for v in values)
        summary[f"{name}_mean"] = float(np.mean(values)) if known else None
    statuses = [str(entry.get("status")) for entry in entries]
    summary["status"] = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    listed = [str(name) for name in summary.get("files", []) if isinstance(name, str)]
    listed += [file.relative_to(folder).as_posix() for file in (record.path, *files)]
    summary["files"] = list(dict.fromkeys(listed))
    write_atomically(folder / SUMMARY, f"{json.dumps(summary, indent=2)}\n".encode(), "out")


def _per_image(record: RunRecord) -> list[dict[str, Any]]:
    x, truth = restored_images(record), record.problem.get("x_true")
    quality = {} if truth is None else {"psnr": psnr(x, truth)}
    if truth is not None and min(x.shape[-2:]) >= WINDOW:
        quality["ssim"] = ssim(x, truth)
    status, last = record.final["status"], record.trace
    return [
        {name: jsonable(values[i]) for name, values in quality.items()}
        | {
            "objective": jsonable(record.best["value"][i]),
            "evaluations": int(last["evaluations"][-1][i]),
            "status": status[i].decode() if isinstance(status[i], bytes) else str(status[i]),
        }
        for i in range(len(x))
    ]


def _summary(record: RunRecord) -> dict[str, Any]:
    """Return the summary beside a record; empty where there is none that can be read."""
    try:
        found = json.loads(read_text(record.path.parent / SUMMARY))
    except (OSError, ValueError, FlowsolveError):
        return {}
    return found if isinstance(found, dict) else {}


def _entries(record: RunRecord) -> list[dict[str, Any]]:
    images = _summary(record).get("images", [])
    own = [e for e in images if isinstance(e, dict) and _record_of(e) == record.path.name]
    return own if len(own) == record.config["n_images"] else []


def _record_of(entry: dict[str, Any]) -> Any:
    return entry.get("record") or "run.h5"
