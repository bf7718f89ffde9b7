"""Several runs side by side: curves and a table on a common axis of cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import ArgumentError
from ..recording import RunRecord
from ..recording.earlier import values_of_last_stage
from ..solvers import make_solver, registry
from .figure import literal

#: Columns of the trace that say what a run cost; ``iterations`` is the number of the row.
AXES = ("iterations", "evaluations", "flow", "seconds")

#: Counts that cost about one pass through the network each.
FLOW_PASSES = ("E", "vjp_E", "jvp_E", "D", "vjp_D", "jvp_D")

#: A palette that colour-blind readers can tell apart (Okabe & Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass
class Comparison:
    """One run of a comparison.

    Attributes
    ----------
    label : str
        What tells it from the others.
    status : str
        Status of the run.
    cost, value : numpy.ndarray, shape (iterations + 1,)
        Mean cost and mean objective over the images; the objective is that of a method's last stage, and NaN
        before it.
    psnr : numpy.ndarray or None
        Mean PSNR in dB, where the truth is known.
    objective : str
        What tells objectives apart whose values cannot be compared: prior term, weight, problem.
    at_common : (float, float or None)
        Objective and PSNR at the largest cost that all runs reached.
    """

    label: str
    status: str
    cost: np.ndarray
    value: np.ndarray
    psnr: np.ndarray | None
    objective: str
    at_common: tuple[float, float | None]


def cost_of(record: RunRecord, axis: str) -> np.ndarray:
    """Return the cost of each image along the run, shape (iterations + 1, N).

    ``flow`` counts passes through the network either way and products with their Jacobians.

    Raises
    ------
    ArgumentError
        If the axis has another name.
    """
    trace = record.trace
    if axis not in AXES:
        raise ArgumentError("axis", repr(axis), " or ".join(AXES))
    if axis == "iterations":
        return np.broadcast_to(trace["iteration"][:, None], trace["value"].shape).astype(float)
    if axis == "flow":
        return np.add.reduce([trace[name] for name in FLOW_PASSES]).astype(float)
    return trace[axis].astype(float)


def compare_runs(records: Sequence[RunRecord], axis: str = "evaluations") -> list[Comparison]:
    """Return the runs' mean curves, and where each stands at the largest cost that all of them reached.

    Raises
    ------
    ArgumentError
        If there are no runs, one has no iteration yet, or they differ in their number of images.
    """
    if not records:
        raise ArgumentError("runs", "none", "one or more records")
    for record in records:
        if not record.trace:
            raise ArgumentError("runs", f"{record.path}, which has no iteration yet", "runs with iterations")
    counts = {record.config["n_images"] for record in records}
    if len(counts) > 1:
        raise ArgumentError("runs", f"records of {sorted(counts)} images", "runs of the same images")
    costs = [cost_of(record, axis).mean(1) for record in records]
    common = min(cost[-1] for cost in costs)
    compared = []
    for label, record, cost in zip(_labels(records), records, costs, strict=True):
        value = values_of_last_stage(record.trace).mean(1)
        psnr = record.trace["psnr"].mean(1) if "psnr" in record.trace else None
        reached = int(np.searchsorted(cost, common, side="right")) - 1
        at_common = (float(value[reached]), None if psnr is None else float(psnr[reached]))
        compared.append(Comparison(label, record.status, cost, value, psnr, _objective(record), at_common))
    return compared


def comparison_figure(compared: Sequence[Comparison], axis: str) -> Figure:
    """Return a figure of the objective above the lowest of all runs, and of PSNR where known."""
    panels = 2 if any(run.psnr is not None for run in compared) else 1
    figure = Figure(figsize=(5.2 * panels, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    # Another prior term or weight is another function: each is measured from its own lowest value.
    lowest: dict[str, float] = {}
    for run in compared:
        lowest[run.objective] = min(lowest.get(run.objective, np.inf), float(np.fmin.reduce(run.value)))
    for panel in range(panels):
        axes = figure.add_subplot(1, panels, panel + 1)
        for i, run in enumerate(compared):
            curve = run.value - lowest[run.objective] if panel == 0 else run.psnr
            if curve is None:
                continue
            curve = np.where(curve > 0, curve, np.nan) if panel == 0 else curve
            style = ("-", "--", ":")[i // len(COLOURS) % 3]
            colour, label = COLOURS[i % len(COLOURS)], literal(run.label)
            axes.plot(run.cost, curve, style, color=colour, linewidth=1.8, label=label)
        axes.set_xlabel("passes through the flow" if axis == "flow" else axis)
        axes.set_ylabel("mean objective − lowest of its kind" if panel == 0 else "mean PSNR (dB)")
        if panel == 1 and any(run.psnr is not None and np.isinf(run.psnr).any() for run in compared):
            axes.set_title("infinite PSNR (no error) is not drawn", fontsize=9)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if panel == 0:
            axes.set_yscale("log")
            axes.legend(fontsize=8)
    return figure


def _objective(record: RunRecord) -> str:
    """Return what the value of an objective depends on besides the image."""
    config = record.config
    described = {k: v for k, v in config["objective"].items() if k != "formulation"}
    return repr((described, config["operator"], config["noise"], config["prior"]["sha256"]))


def _labels(records: Sequence[RunRecord]) -> list[str]:
    """Return a name for each run: what differs between them, or the file where nothing does."""
    described = [_settings(record) for record in records]
    differing = [key for key in described[0] if len({d[key] for d in described}) > 1]
    labels = [" ".join(d[key] for key in differing if d[key]) for d in described]
    if len(set(labels)) == len(labels) and all(labels):
        return labels
    return [f"{label} {record.path}".strip() for label, record in zip(labels, records, strict=True)]


def _settings(record: RunRecord) -> dict[str, str]:
    config = record.config
    name, options = config["solver"]["name"], config["solver"]["options"]
    usual = make_solver(name).config() if name in registry else {}
    options = ",".join(f"{k}={v}" for k, v in options.items() if v != usual.get(k, ...))
    common = {
        "operator": str(config["operator"]["name"]),
        "sigma": f"sigma={config['noise']['sigma']:g}",
        "seed": f"seed={config['initialiser']['seed']}",
    }
    if record.method is not None:
        # Its stages have solvers and weights of their own.
        single = dict.fromkeys(("formulation", "phi", "lam", "solver", "options", "start"), "")
        return single | {"solver": record.method["name"]} | common
    return {
        "formulation": config["objective"]["formulation"],
        "phi": config["objective"]["phi"],
        "lam": f"lam={config['objective']['lam']}",
        "solver": name,
        "options": f"({options})" if options else "",
        "start": f"from {config['initialiser']['name']}",
    } | common
