"""What a finished run leaves in its folder, and the summary of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import to_numpy
from ..images import write_png
from ..infinite import deviation
from ..metrics import WINDOW, psnr, ssim
from ..report import Panel, restoration_figure, save_figure, worst
from ..words import jsonable
from .verdict import best_classical, verdict

if TYPE_CHECKING:
    from .pipeline import Outcome

#: Most images in a figure.
ROWS = 6


def write_restored(outcome: Outcome) -> None:
    """Write the restored images and a summary beside the record, before anything is compared with them."""
    folder = outcome.folder
    for name, x in zip(outcome.names, outcome.restored, strict=True):
        write_png(folder.image(name), x)
    _write_summary(outcome)
    if not outcome.request.baselines:
        write_comparison(outcome)


def write_comparison(outcome: Outcome) -> None:
    """Write the figure, and the summary again with the classical restorations in it."""
    save_figure(draw(outcome), outcome.folder.figure)
    _write_summary(outcome)


def _write_summary(outcome: Outcome) -> None:
    folder = outcome.folder
    files = [folder.record, *map(folder.image, outcome.names), folder.figure]
    written = [file for file in files if file.exists()]
    folder.write_summary({**summary(outcome), "images": per_image(outcome)}, written)


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return what ``--json`` prints: settings, means over the images, how the images ended."""
    request, result, objective = outcome.request, outcome.result, outcome.objective
    quality = metrics(outcome, outcome.restored)
    means = {name: metrics(outcome, x) for name, x in outcome.baselines.items()}
    return {
        "task": request.task,
        "sigma": outcome.problem.sigma,
        "sigma_estimated": outcome.problem.sigma_estimated,
        "method": None if result.method is None else result.method.as_json(),
        "formulation": objective.name,
        "phi": objective.phi,
        "lam": objective.config()["lam_value"],
        "solver": outcome.solver,
        "init": outcome.start,
        "prior": objective.prior.name,
        "n_images": len(outcome.names),
        "psnr_mean": jsonable(np.mean(quality["psnr"])) if quality else None,
        "psnr_std": jsonable(deviation(quality["psnr"])) if quality else None,
        "ssim_mean": jsonable(np.mean(quality["ssim"])) if quality else None,
        "baseline": {name: jsonable(np.mean(m["psnr"])) if m else None for name, m in means.items()},
        "objective_mean": jsonable(np.mean(result.value)),
        "evaluations_mean": jsonable(np.mean(result.counts["evaluations"])),
        "iterations_mean": jsonable(np.mean(result.iterations)),
        "seconds": jsonable(result.seconds),
        "status": dict(Counter(result.status)),
        "notes": verdict(outcome),
        "record": str(outcome.folder.record),
    }


def per_image(outcome: Outcome) -> list[dict[str, Any]]:
    """Return name, quality, objective, cost and status of each image."""
    result, quality = outcome.result, metrics(outcome, outcome.restored)
    return [
        {
            "name": name,
            "psnr": jsonable(quality["psnr"][i]) if quality else None,
            "ssim": jsonable(quality["ssim"][i]) if quality else None,
            "objective": jsonable(result.value[i]),
            "evaluations": int(result.counts["evaluations"][i]),
            "iterations": int(result.iterations[i]),
            "status": result.status[i],
        }
        for i, name in enumerate(outcome.names)
    ]


def metrics(outcome: Outcome, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return PSNR and SSIM of images against the truth; nothing where it is not known."""
    truth = outcome.problem.x_true
    if truth is None:
        return {}
    reference = to_numpy(truth)
    large = min(x.shape[-2:]) >= WINDOW
    return {"psnr": psnr(x, reference), "ssim": ssim(x, reference) if large else np.full(len(x), np.nan)}


def draw(outcome: Outcome) -> Any:
    """Return the figure of a run: its worst images, each beside the best classical restoration."""
    problem, restored = outcome.problem, outcome.restored
    quality = metrics(outcome, restored)
    decibels = quality.get("psnr")
    panels, error, baseline = [], None, None
    if problem.x_true is not None:
        truth = to_numpy(problem.x_true)
        panels.append(Panel("truth", truth))
        error = np.abs(np.clip(restored, 0, 1) - truth).mean(axis=1)
    panels.append(_degraded(outcome))
    if outcome.baselines:
        best = best_classical(outcome) if problem.x_true is not None else None
        name, scores = (next(iter(outcome.baselines)), None) if best is None else best
        panels.append(Panel(name, outcome.baselines[name], scores))
        baseline = None if scores is None else (name, float(np.mean(scores)))
    panels.append(Panel("restored", restored, decibels))
    rows = worst(decibels, outcome.result.value, ROWS)
    request = outcome.request
    method = f"{outcome.objective.name} ({outcome.objective.phi}), {outcome.solver} from {outcome.start}"
    title = f"{request.task}, σ = {problem.sigma:g}: {method}"
    if len(outcome.names) > len(rows):
        title += f"; the worst {len(rows)} of {len(outcome.names)} images"
    trace = outcome.result.trace
    return restoration_figure(
        panels, outcome.names, trace, rows=rows, error=error, baseline=baseline, title=title
    )


def _degraded(outcome: Outcome) -> Panel:
    """Return the measurements as a column; missing pixels are a pale blue that faces have nowhere."""
    problem = outcome.problem
    y = to_numpy(problem.y)
    support = problem.operator.support
    hidden = np.array([0.62, 0.80, 0.95])[: y.shape[1], None, None]
    shown = y if support is None else np.where(np.asarray(support) > 0, y, hidden)
    comparable = problem.x_true is not None and support is None and y.shape == problem.x_true.shape
    return Panel("degraded", shown, metrics(outcome, y)["psnr"] if comparable else None)
