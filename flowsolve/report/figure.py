"""The figure of a run: images beside their errors, and how the run converged.

Drawn with matplotlib's object interface alone, so that nothing global (backend, open figures,
style) is read or changed.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from ..files import write_atomically
from ..recording.earlier import values_of_last_stage
from ..terminal import plain

#: Okabe and Ito's palette, which the common kinds of colour blindness tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"

#: Colour map of error images: perceptually uniform, dark where there is no error.
ERROR_MAP = "magma"


@dataclass(frozen=True)
class Panel:
    """One column of images.

    Attributes
    ----------
    title : str
        Heading of the column.
    x : numpy.ndarray, shape (N, C, H, W)
        Images; measurements of another size are drawn at the size of the others.
    psnr : numpy.ndarray, shape (N,), optional
        Written under each image.
    """

    title: str
    x: np.ndarray
    psnr: np.ndarray | None = None


def worst(psnr: np.ndarray | None, value: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the images that came out worst, the worst first.

    Parameters
    ----------
    psnr : numpy.ndarray, shape (N,), optional
        PSNR of each image.
    value : numpy.ndarray, shape (N,)
        Objective values, which decide where the PSNR is not known.
    count : int
        How many.
    """
    return np.argsort(-value if psnr is None else psnr, kind="stable")[:count]


def restoration_figure(
    panels: Sequence[Panel],
    names: Sequence[str],
    trace: Mapping[str, np.ndarray],
    *,
    rows: Sequence[int] | np.ndarray,
    error: np.ndarray | None = None,
    baseline: tuple[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Draw images in rows, one for each problem shown, and the convergence of all below.

    Parameters
    ----------
    panels : sequence of Panel
        Columns: truth, degraded, a baseline, restored.
    names : sequence of str
        Names of all images.
    trace : mapping of str to numpy.ndarray, shape (iterations + 1, N)
        Columns of the trace: ``value``, ``evaluations``, ``seconds`` and, if known, ``psnr``.
    rows : sequence of int
        Which images to show.
    error : numpy.ndarray, shape (N, H, W), optional
        Absolute error of the restored images, for one more column.
    baseline : (str, float), optional
        Name and mean PSNR of a classical restoration, drawn as a line to be passed.
    title : str
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = len(panels) + (error is not None)
    curves = 3 if "psnr" in trace else 1
    side, curve_height = 1.75, 2.6
    # Beside the images: names on the left; on the right the bar of colours and its numbers.
    width = max(columns * side + 1.3, 8.2)
    pitch = side * 0.95 + 0.24
    height = 0.75 + len(rows) * pitch + 0.75 + curve_height
    figure = Figure(figsize=(width, height), dpi=130)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(literal(title), fontsize=11, y=1 - 0.16 / height, va="top")
    top, split = 1 - 0.75 / height, (curve_height + 0.75) / height
    margin = (1 - columns * side / width) / 2
    image_grid = GridSpec(
        len(rows), columns, figure, margin, split, 1 - margin, top, wspace=0.06, hspace=0.24 / (side * 0.95)
    )
    _draw_images(figure, image_grid, panels, names, rows, error)
    left, right = 0.85 / width, 1 - 0.15 / width
    curve_grid = GridSpec(1, curves, figure, left, 0.52 / height, right, curve_height / height, wspace=0.32)
    _draw_curves([figure.add_subplot(curve_grid[0, i]) for i in range(curves)], trace, baseline)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in one step to a PNG file, or to a PDF file where the name ends so."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name may have letters that the font lacks; boxes stand for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="pdf" if Path(path).suffix.lower() == ".pdf" else "png")
    write_atomically(path, buffer.getvalue(), "out")


def literal(text: str) -> str:
    """Return a text that matplotlib draws as it is: dollars are no formula, and no legend leaves it out."""
    text = plain(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _draw_images(
    figure: Figure,
    grid: GridSpec,
    panels: Sequence[Panel],
    names: Sequence[str],
    rows: Sequence[int] | np.ndarray,
    error: np.ndarray | None,
) -> None:
    for place, row in enumerate(rows):
        for column, panel in enumerate(panels):
            axes = _image_axes(figure, grid, place, column, panel.title)
            axes.imshow(_pixels(panel.x[row]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if panel.psnr is not None:
                axes.set_xlabel(_decibels(panel.psnr[row]), fontsize=8.5, labelpad=2)
            if column == 0:
                name = names[row] if len(names[row]) <= 18 else names[row][:17] + "…"
                axes.set_ylabel(literal(name), fontsize=8.5, labelpad=3)
    if error is None:
        return
    # One scale for all rows, so that rows can be compared; its end is a round number.
    shown = np.asarray(error)[np.asarray(rows)]
    limit = max(0.05, np.ceil(np.quantile(shown, 0.999) * 20) / 20)
    image = None
    for place, row in enumerate(rows):
        axes = _image_axes(figure, grid, place, len(panels), "|error|")
        image = axes.imshow(error[row], cmap=ERROR_MAP, vmin=0, vmax=limit, interpolation="nearest")
    assert image is not None
    box = axes.get_position()
    bar = figure.add_axes((box.x1 + 0.008, box.y0, 0.011, box.height))
    figure.colorbar(image, cax=bar, ticks=[0, limit]).ax.tick_params(labelsize=7.5, length=2)


def _image_axes(figure: Figure, grid: GridSpec, place: int, column: int, title: str) -> Axes:
    axes = figure.add_subplot(grid[place, column])
    axes.set_xticks([])
    axes.set_yticks([])
    if place == 0:
        axes.set_title(literal(title), fontsize=9.5, pad=4)
    return axes


def _draw_curves(
    axes: Sequence[Axes], trace: Mapping[str, np.ndarray], baseline: tuple[str, float] | None
) -> None:
    value, evaluations = values_of_last_stage(trace), trace["evaluations"]
    # F may have no value: then what is watched is the fixed-point residual.
    gap = trace["residual"] if "residual" in trace else value - np.nanmin(value, axis=0)
    # The last point would be at zero, which a logarithmic axis has no place for.
    gap = np.where(gap > 0, gap, np.nan)
    _curves(axes[0], evaluations, gap)
    axes[0].set_yscale("log")
    label = "fixed-point residual" if "residual" in trace else "objective − lowest"
    axes[0].set_ylabel(label, fontsize=9)
    axes[0].set_xlabel("evaluations", fontsize=9)
    for panel, name in zip(axes[1:], ("evaluations", "seconds"), strict=False):
        _curves(panel, trace[name], trace["psnr"])
        panel.set_xlabel(name, fontsize=9)
        panel.set_ylabel("PSNR (dB)", fontsize=9)
        if baseline is not None:
            panel.axhline(
                baseline[1], color=ORANGE, linestyle="--", linewidth=1.4, label=literal(baseline[0])
            )
            panel.legend(fontsize=7.5, loc="best", framealpha=0.9, handlelength=1.8)


def _curves(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw a thin line for each image and a thick one for their mean."""
    n = y.shape[1]
    if n > 1:
        axes.plot(x, y, color=BLUE, linewidth=0.7, alpha=max(0.15, min(0.5, 6 / n)))
    finite = np.isfinite(y).any(axis=1)
    if finite.any():
        mean = np.nanmean(y[finite], axis=1)
        label = "mean" if n > 1 else "restored"
        axes.plot(x[finite].mean(axis=1), mean, color=BLUE, linewidth=2.0, label=label)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _pixels(x: np.ndarray) -> np.ndarray:
    clipped = np.clip(np.asarray(x, dtype=np.float64), 0, 1)
    return clipped[0] if len(clipped) == 1 else clipped.transpose(1, 2, 0)


def _decibels(value: float) -> str:
    return "exact" if np.isposinf(value) else f"{value:.2f} dB"
