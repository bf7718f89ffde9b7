"""The rows of a study's table: what a run did to each of its images, in a few numbers."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..errors import RecordError
from ..metrics import psnr as psnr_of
from ..recording import RunRecord
from ..recording.earlier import values_of_last_stage
from ..recording.schema import metric_columns
from ..report.compare import FLOW_PASSES as PASSES
from .parameters import operator_label

#: Columns of the table and their types. ``value``, ``psnr``, ``data_fidelity``, ``prior_value`` and
#: ``z_norm`` are those of the best iterate, which has the lowest F unless the run watched held-out data;
#: ``psnr_peak`` is the highest along the run. ``lam`` is the weight as a number, one for each image, NaN with
#: a hard constraint; ``lam_given`` is what was asked for. ``measurement`` stands for the measured data: equal
#: data, equal text. A run of a method has its name as ``method`` and ``solver``; its F is that of its last
#: stage, and what only a run of one solver has is empty or NaN. Counts and seconds are those of the whole
#: run; ``passes`` are those through the network either way and products with their Jacobians, the axis
#: ``flow`` of ``flowsolve compare``. Further metrics of the runs have columns like those of ``psnr``, after
#: these.
COLUMNS = {
    "run": "object",
    "image": "object",
    "task": "object",
    "operator": "object",
    "sigma": "float64",
    "prior": "object",
    "method": "object",
    "formulation": "object",
    "phi": "object",
    "lam": "float64",
    "lam_given": "object",
    "solver": "object",
    "start": "object",
    "seed": "int64",
    "status": "object",
    "value": "float64",
    "value_final": "float64",
    "psnr": "float64",
    "psnr_start": "float64",
    "psnr_peak": "float64",
    "psnr_final": "float64",
    "data_fidelity": "float64",
    "prior_value": "float64",
    "iterations": "int64",
    "evaluations": "int64",
    "gradients": "int64",
    "E": "int64",
    "D": "int64",
    "A": "int64",
    "AT": "int64",
    "passes": "int64",
    "seconds": "float64",
    "z_norm": "float64",
    "run_status": "object",
    "position": "int64",
    "measurement": "object",
}

_COUNTS = ("evaluations", "gradients", "E", "D", "A", "AT")


def table_rows(run: str, parameters: dict[str, Any], record: RunRecord) -> list[dict[str, Any]]:
    """Return the rows of a run, one an image, in the order of its batch.

    Parameters
    ----------
    run : str
        Id of the run.
    parameters : dict
        As in a plan's cells.
    record : RunRecord
        The record, as just opened.

    Raises
    ------
    RecordError
        If the record has another number of images than the parameters name, or is damaged.
    """
    n = int(record.config["n_images"])
    if len(parameters["images"]) != n:
        raise RecordError(f"record: {record.path} has {n} images; the plan says {len(parameters['images'])}")
    stored = _stored(record, n)
    numbers = _with_fallbacks(_of_trace(record.trace, stored["best_iteration"], n), stored)
    numbers |= _of_metrics(record, stored["best_iteration"], n)
    common = {
        "run": run,
        "task": str(parameters["task"]),
        "operator": operator_label(parameters.get("operator") or {}),
        "sigma": float(record.config["noise"]["sigma"]),
        "prior": str(parameters["prior"]),
        "method": str(parameters.get("method") or ""),
        "solver": str(parameters["solver"]),
        "start": str(parameters["start"]),
        "seed": int(parameters["seed"]),
        "run_status": record.status,
        **_objective(parameters, record),
    }
    lam = _weights(record, n)
    rows = []
    for i, name in enumerate(parameters["images"]):
        row = {**common, "image": str(name), "position": i, "lam": lam[i]}
        row["status"] = stored["status"][i] or record.status
        row["z_norm"], row["measurement"] = stored["z_norm"][i], stored["measurement"][i]
        rows.append({**row, **{column: values[i] for column, values in numbers.items()}})
    return rows


def _objective(parameters: dict[str, Any], record: RunRecord) -> dict[str, str]:
    """Return the columns of the objective; those of a method have one in each stage, and so none here."""
    objective = record.config["objective"]
    if record.method is not None:
        return dict.fromkeys(("formulation", "phi", "lam_given"), "")
    given = "for each image" if isinstance(objective["lam"], list) else str(parameters["lam"])
    return {
        "formulation": str(objective["formulation"]),
        "phi": str(objective["phi"]),
        "lam_given": given,
    }


def _weights(record: RunRecord, n: int) -> np.ndarray:
    lam = None if record.method is not None else record.config["objective"]["lam_value"]
    return np.broadcast_to(np.asarray(lam, dtype=np.float64), n)


def _with_fallbacks(numbers: dict[str, np.ndarray], stored: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the columns with those of images that are the classical start, which no trace has."""
    fallback = stored["fallback"]
    if not fallback.any():
        return numbers
    kept = {"value": stored["value"], "psnr": stored["psnr"]}
    unknown = np.full(len(fallback), np.nan)
    kept |= dict.fromkeys(("data_fidelity", "prior_value"), unknown)
    return numbers | {name: np.where(fallback, column, numbers[name]) for name, column in kept.items()}


def _of_trace(trace: dict[str, np.ndarray], best: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Return the columns that come from the trace, NaN or 0 where nothing is recorded yet."""
    unknown, none = np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    if not trace or not len(trace["value"]):
        floats = ("value", "value_final", "psnr", "psnr_start", "psnr_peak", "psnr_final")
        columns = dict.fromkeys((*floats, "data_fidelity", "prior_value", "seconds"), unknown)
        return columns | dict.fromkeys(("iterations", "passes", *_COUNTS), none)
    images = np.arange(n)
    value = values_of_last_stage(trace)
    value = np.where(np.isnan(value), np.inf, value)
    # Of a run without best iterates yet, the lowest F so far.
    row = np.where(best >= 0, np.searchsorted(trace["iteration"], best), value.argmin(0))
    row = np.minimum(row, len(value) - 1)
    psnr = trace.get("psnr", np.full(value.shape, np.nan))
    # An image that has ended repeats its last row, of which the clock tells the iteration.
    ended = np.argmax(trace["seconds"] >= trace["seconds"][-1], axis=0)
    columns = {
        "value": trace["value"][row, images],
        "value_final": trace["value"][-1],
        "psnr": psnr[row, images],
        "psnr_start": psnr[0],
        "psnr_peak": psnr.max(0),
        "psnr_final": psnr[-1],
        "data_fidelity": trace["data_fidelity"][row, images],
        "prior_value": trace["prior"][row, images],
        "iterations": trace["iteration"][ended],
        "passes": sum((trace[name][-1] for name in PASSES), none),
        "seconds": trace["seconds"][-1],
    }
    return columns | {name: trace[name][-1] for name in _COUNTS}


def _of_metrics(record: RunRecord, best: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Return the columns of metrics beside PSNR, named as those of PSNR; their peak is their best value."""
    found, trace = {}, record.trace
    for name, metric in metric_columns(record.config).items():
        if name == "psnr" or name in COLUMNS or name not in trace or not len(trace[name]):
            continue
        column, row = trace[name], np.searchsorted(trace["iteration"], np.maximum(best, 0))
        peak = column.max(0) if metric["better"] == "higher" else column.min(0)
        at_best = column[np.minimum(row, len(column) - 1), np.arange(n)]
        fallback = np.array(record.outcome.get("fallback") or [False] * n)
        found[name] = np.where(fallback, np.nan, at_best)
        found |= {f"{name}_start": column[0], f"{name}_peak": peak, f"{name}_final": column[-1]}
    return found


def _stored(record: RunRecord, n: int) -> dict[str, Any]:
    """Return what stands outside the trace: best iterations, statuses, ‖z‖ and the measurements' digests."""
    fallback = np.array(record.outcome.get("fallback") or [False] * n)
    value, psnr = np.full(n, np.nan), np.full(n, np.nan)
    if fallback.any():
        kept, truth = record.best, record.problem.get("x_true")
        value, psnr = kept["value"], psnr if truth is None else psnr_of(kept["x"], truth)
    with record.open() as file:
        y = file["problem/y"][()]
        # Latents of a run that goes on are not there yet: no need to read the room kept for them.
        best = file["best/iteration"][()]
        norms = np.full(n, np.nan)
        if (best >= 0).any():
            z = file["best/z"][()].reshape(n, -1).astype(np.float64)
            norms = np.sqrt(np.einsum("ij,ij->i", z, z))
        status = [s.decode() for s in file["final/status"][()]]
    digests = [hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=6).hexdigest() for row in y]
    return {
        "best_iteration": best,
        "z_norm": norms,
        "status": status,
        "measurement": digests,
        "fallback": fallback,
        "value": value,
        "psnr": psnr,
    }
