"""What a finished run leaves in its folder, and the summary of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..arrays import to_numpy
from ..encoding import write_image
from ..infinite import deviation
from ..metrics import registry as metric_registry
from ..report import Panel, restoration_figure, save_figure, worst
from ..words import jsonable
from .output import IMAGES
from .verdict import best_classical, verdict

if TYPE_CHECKING:
    from .pipeline import Outcome, Outcomes

#: Most images in a figure.
ROWS = 6


def write_restored(outcome: Outcome) -> None:
    """Write the restored images beside the record, before anything is compared with them."""
    folder = outcome.folder
    for name, x in zip(outcome.names, outcome.restored, strict=True):
        write_image(folder.image(name), x, outcome.request.dtype_out)
    if not outcome.request.baselines:
        write_comparison(outcome)


def write_comparison(outcome: Outcome) -> None:
    """Write the figure."""
    save_figure(draw(outcome), outcome.folder.figure)


def write_summary(outcomes: Outcomes) -> None:
    """Write the summary, with every image's source, output and record in it."""
    parts = outcomes.parts
    files = [f for p in parts for f in (p.folder.record, *map(p.folder.image, p.names), p.folder.figure)]
    written = [file for file in files if file.exists()]
    images = [image for part in parts for image in per_image(part)]
    outcomes.folder.write_summary({**summary(outcomes), "images": images}, written)


def summary(outcomes: Outcomes) -> dict[str, Any]:
    """Return what ``--json`` prints: settings, means over the images, how the images ended."""
    parts = outcomes.parts
    request, problem, objective = outcomes.request, parts[0].problem, parts[0].objective
    quality = quality_of_all(outcomes)
    named = dict.fromkeys(name for part in parts for name in part.baselines)
    means = {name: quality_of_all(outcomes, name) for name in named}
    results = [part.result for part in parts]
    records = [str(part.folder.record) for part in parts if part.folder.record.exists()]
    said = {
        "task": request.task,
        "sigma": problem.sigma,
        "noise": problem.noise.config()["name"],
        "sigma_estimated": problem.sigma_estimated,
        "method": None if results[0].method is None else results[0].method.as_json(),
        "formulation": objective.name,
        "phi": objective.phi,
        "lam": objective.config()["lam_value"],
        "solver": parts[0].solver,
        "init": parts[0].start,
        "prior": objective.prior.name,
        "n_images": sum(len(part.names) for part in parts),
        "psnr_mean": jsonable(np.mean(quality["psnr"])) if quality else None,
        "psnr_std": jsonable(deviation(quality["psnr"])) if quality else None,
        "ssim_mean": jsonable(np.mean(quality["ssim"])) if quality else None,
        "metrics": {name: jsonable(np.mean(values)) for name, values in quality.items()},
        "baseline": {name: jsonable(np.mean(m["psnr"])) if m else None for name, m in means.items()},
        "objective_mean": jsonable(np.mean(np.concatenate([r.value for r in results]))),
        "evaluations_mean": jsonable(np.mean(np.concatenate([r.counts["evaluations"] for r in results]))),
        "iterations_mean": jsonable(np.mean(np.concatenate([r.iterations for r in results]))),
        "seconds": jsonable(sum(r.seconds for r in results)),
        "status": dict(Counter(status for r in results for status in r.status)),
        "notes": list(dict.fromkeys(line for part in parts for line in verdict(part))),
        "record": records[0] if records else None,
    }
    # Images of one size are one run with one record; of several sizes there is one for each.
    return said | ({"records": records} if len(parts) > 1 else {})


def quality_of_all(outcomes: Outcomes, baseline: str | None = None) -> dict[str, np.ndarray]:
    """Return PSNR and SSIM of all restored images, or of a classical restoration of them.

    Empty where the truth is not known, or a size has no such restoration.
    """
    found = []
    for part in outcomes.parts:
        x = part.restored if baseline is None else part.baselines.get(baseline)
        found.append({} if x is None else metrics(part, x))
    if not all(found):
        return {}
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def per_image(outcome: Outcome) -> list[dict[str, Any]]:
    """Return name, quality, objective, cost and status of each image."""
    result, quality = outcome.result, metrics(outcome, outcome.restored)
    return [
        {
            "name": name,
            "source": outcome.sources[i],
            "output": f"{IMAGES}/{outcome.folder.image(name).name}",
            "record": outcome.folder.record.name if outcome.folder.record.exists() else None,
            "index": i,
            "psnr": jsonable(quality["psnr"][i]) if quality else None,
            "ssim": jsonable(quality["ssim"][i]) if quality else None,
            **{name: jsonable(values[i]) for name, values in quality.items() if name not in ("psnr", "ssim")},
            "objective": jsonable(result.value[i]),
            "evaluations": int(result.counts["evaluations"][i]),
            "iterations": int(result.iterations[i]),
            "status": result.status[i],
        }
        for i, name in enumerate(outcome.names)
    ]


def metrics(outcome: Outcome, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return PSNR, SSIM and what else was asked of images and truth; nothing where that is not known."""
    truth = outcome.problem.x_true
    if truth is None:
        return {}
    names = dict.fromkeys(("psnr", "ssim", *outcome.request.metrics))
    reference = outcome.problem.in_frame(truth).cpu()
    images = torch.as_tensor(np.ascontiguousarray(x)).to(reference)
    return {name: metric_registry.get(name)(images, reference) for name in names}


def draw(outcome: Outcome) -> Any:
    """Return the figure of a run: its worst images, each beside the best classical restoration."""
    problem, restored = outcome.problem, outcome.restored
    quality = metrics(outcome, restored)
    decibels = quality.get("psnr")
    panels, error, baseline = [], None, None
    if problem.x_true is not None:
        truth = to_numpy(problem.in_frame(problem.x_true))
        panels.append(Panel("truth", truth))
        error = np.abs(np.clip(restored, 0, 1) - truth).mean(axis=1)
    panels += _degraded(outcome)
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


def _degraded(outcome: Outcome) -> list[Panel]:
    """Return the measurements as a column, where they are images; missing pixels are a pale blue."""
    problem = outcome.problem
    y = to_numpy(problem.y)
    if y.ndim != 4 or y.shape[1] not in (1, 3):
        return []
    support = problem.operator.support
    hidden = np.array([0.62, 0.80, 0.95])[: y.shape[1], None, None]
    shown = y if support is None else np.where(np.asarray(support) > 0, y, hidden)
    comparable = problem.x_true is not None and support is None and y.shape == outcome.restored.shape
    return [Panel("degraded", shown, metrics(outcome, y)["psnr"] if comparable else None)]
