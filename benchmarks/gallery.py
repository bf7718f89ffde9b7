"""Pages of restored faces, the worst ones: to be looked at, and not to be kept in a repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import flowsolve as fs
from flowsolve.operators import Downsample

WORST = 8


def keep(folder: Path, row: str, method: str, x: torch.Tensor) -> None:
    """Keep restored images for the pages, so that a run that goes on has those of before too."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(_file(folder, row, method), x.numpy().astype(np.float16))


def page(folder: Path, row: str, problem: fs.InverseProblem, methods: list[str], title: str) -> Path:
    """Write ``ROW.png``: truth, measurement and methods for the images at which the last method is worst.

    Methods whose images were not kept are left out.
    """
    kept = {m: _file(folder, row, m) for m in methods if _file(folder, row, m).exists()}
    columns = {method: torch.from_numpy(np.load(path).astype(np.float32)) for method, path in kept.items()}
    truth = problem.x_true
    assert truth is not None
    columns = {"truth": truth, "measured": shown(problem), **columns}
    ours = columns.get(methods[-1], truth)
    worst = np.argsort(fs.psnr(ours, truth[: len(ours)]))[:WORST]
    figure = Figure(figsize=(1.6 * len(columns), 1.75 * len(worst)), layout="constrained")
    axes = figure.subplots(len(worst), len(columns), squeeze=False)
    for line, image in enumerate(worst):
        for axis, (name, x) in zip(axes[line], columns.items(), strict=True):
            axis.axis("off")
            if line == 0:
                axis.set_title(name.replace(" ", "\n"), fontsize=7)
            if image < len(x):
                axis.imshow(x[image].clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
                if name not in ("truth", "measured"):
                    value = fs.psnr(x[image : image + 1], truth[image : image + 1])[0]
                    axis.text(1, 62, f"{value:.1f}", color="white", fontsize=7, backgroundcolor="black")
    figure.suptitle(f"{title}: our {len(worst)} worst of {len(truth)}, PSNR in dB", fontsize=9)
    path = folder / f"{row}.png"
    figure.savefig(path, dpi=130, bbox_inches="tight")
    return path


def shown(problem: fs.InverseProblem) -> torch.Tensor:
    """Return what measurements look like as images of the full size."""
    operator, y = problem.operator, problem.y
    if isinstance(operator, Downsample):
        rows, columns = (
            n // m for n, m in zip(operator.dim_shape[1:], operator.codim_shape[1:], strict=True)
        )
        return y.repeat_interleave(rows, -2).repeat_interleave(columns, -1)
    if operator.codim_shape == operator.dim_shape:
        return y
    back = operator.adjoint(y)
    return back / back.flatten(1).abs().amax(1).reshape(-1, 1, 1, 1)


def _file(folder: Path, row: str, method: str) -> Path:
    return folder / f"{row} {method}.npy".replace(" ", "_")
