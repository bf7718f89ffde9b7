"""All that a report's page knows of its runs, as one JSON document."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..errors import ArgumentError, RecordError
from ..recording.schema import metric_columns
from ..studies import curves as studies
from ..studies.answers import answers
from ..studies.index import MEASUREMENT, OBJECTIVE, Index, RunEntry
from .curves import POINTS, Curve, pack_curves, read_curve
from .gallery import ROOM, pack_gallery
from .packing import pack, pack_words
from .targets import pack_targets

if TYPE_CHECKING:
    import pandas

#: What runs can be told apart by; columns of the index's table.
DIMENSIONS = (
    "task",
    "operator",
    "sigma",
    "prior",
    "formulation",
    "phi",
    "lam_given",
    "solver",
    "start",
    "seed",
)

#: Numbers of each run and image; F in double precision, since it is compared.
NUMBERS = {
    "value": "f8",
    "value_final": "f8",
    "psnr": "f4",
    "psnr_start": "f4",
    "psnr_peak": "f4",
    "psnr_final": "f4",
    "data_fidelity": "f4",
    "prior_value": "f4",
    "lam": "f4",
    "iterations": None,
    "evaluations": None,
    "gradients": None,
    "passes": None,
    "E": None,
    "D": None,
    "A": None,
    "AT": None,
    "seconds": "f4",
    "z_norm": "f4",
}


def report_data(index: Index, *, title: str, room: int = ROOM) -> dict[str, Any]:
    """Return what a page embeds or a server sends; JSON-able.

    Parameters
    ----------
    index : Index
        The runs.
    title : str
        Title of the report.
    room : int
        Most bytes of its pictures.

    Returns
    -------
    dict
        ``answers``, ``runs``, ``rows`` (one a run and image), ``curves``, ``targets``, ``gallery``,
        ``configs``, ``failed``, ``waiting``; numbers as `packing.pack` writes them.
    """
    metrics = _metrics(index.runs)
    curves = [read_curve(entry, tuple(metrics)) for entry in index.runs]
    problem, lowest = _problems(index, curves)
    problems = {OBJECTIVE: problem, MEASUREMENT: _number(index, MEASUREMENT)}
    ends = np.cumsum([len(entry.images) for entry in index.runs], dtype=int)
    own = np.split(lowest[problem], ends)[:-1]
    return {
        "title": title,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "version": __version__,
        "answers": _answers(index),
        "points": POINTS,
        "runs": _runs(index),
        "rows": _rows(index.table, problems, metrics),
        "metrics": [{"name": name, **about} for name, about in metrics.items()],
        "curves": pack_curves(curves, own, tuple(metrics)),
        "targets": pack_targets(_by_row(index), problems),
        "gallery": pack_gallery(index, room),
        "configs": _configs(index.runs),
        "failed": [_failure(cause) for cause in index.failed],
        "waiting": len(index.waiting),
    }


def to_json(data: dict[str, Any]) -> str:
    """Return the document as compact JSON."""
    return json.dumps(data, allow_nan=False, separators=(",", ":"))


def _answers(index: Index) -> list[dict[str, str]]:
    """Return what the runs say in words, with defaults; nothing where none has an iteration."""
    try:
        return [{"question": one.question, "text": one.text} for one in answers(index)]
    except ArgumentError:
        return []


def _problems(index: Index, curves: Sequence[Curve | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return the problem of each row of the table and the lowest F that any run reached on each problem."""
    problem = _number(index, OBJECTIVE)
    reached = index.table["value"].to_numpy(dtype=np.float64).copy()
    first = 0
    for entry, curve in zip(index.runs, curves, strict=True):
        last = first + len(entry.images)
        if curve is not None and len(curve.lowest) == last - first:
            reached[first:last] = np.fmin(reached[first:last], curve.lowest)
        first = last
    lowest = np.full(problem.max(initial=-1) + 1, np.nan)
    np.fmin.at(lowest, problem, np.where(np.isfinite(reached), reached, np.nan))
    return problem, lowest


def _number(index: Index, columns: Sequence[str]) -> np.ndarray:
    """Return for each row of the table the number of its problem, of those that agree in some columns."""
    return index.table.groupby(list(columns), sort=False, dropna=False).ngroup().to_numpy()


def _by_row(index: Index) -> list[studies.Curve | None]:
    """Return the whole curve of each row of the table, None where nothing is recorded yet."""
    found = {(c.row["run"], c.row["position"]): c for c in studies.read_curves(index)}
    keys = zip(index.table["run"], index.table["position"], strict=True)
    return [found.get(key) for key in keys]


def _runs(index: Index) -> dict[str, Any]:
    """Return what each run is: parameters as words, status, file, the command that repeats it."""
    runs = index.runs
    first = index.table.drop_duplicates("run").set_index("run")
    settings = {name: [_word(first.at[entry.id, name]) for entry in runs] for name in DIMENSIONS}
    return {
        "id": [entry.id for entry in runs],
        "status": pack_words([entry.status for entry in runs]),
        "images": pack([len(entry.images) for entry in runs]),
        "command": [f"flowsolve rerun {shlex.quote(str(entry.path))}" for entry in runs],
        "dimensions": {name: pack_words(words) for name, words in settings.items()},
    }


def _metrics(runs: Sequence[RunEntry]) -> dict[str, dict[str, str]]:
    """Return the metrics of the runs beside PSNR, with unit and which values are better."""
    found: dict[str, dict[str, str]] = {}
    for entry in runs:
        found |= metric_columns(_config(entry))
    return {
        name: {key: str(about[key]) for key in ("unit", "better")}
        for name, about in found.items()
        if name != "psnr"
    }


def _rows(
    table: pandas.DataFrame, problems: dict[tuple[str, ...], np.ndarray], metrics: Iterable[str]
) -> dict[str, Any]:
    """Return the table, a column at a time."""
    further = [f"{name}{part}" for name in metrics for part in ("", "_start", "_peak", "_final")]
    kinds = NUMBERS | {name: "f4" for name in further if name in table}
    return {
        "image": pack_words([str(image) for image in table["image"]]),
        "status": pack_words([str(status) for status in table["status"]]),
        "problem": pack(problems[OBJECTIVE]),
        "measurement": pack(problems[MEASUREMENT]),
        "numbers": {name: pack(table[name].to_numpy(), kind) for name, kind in kinds.items()},
    }


def _configs(runs: Sequence[RunEntry]) -> dict[str, Any]:
    """Return the configuration of every run; what many have in common stands there once."""
    configs = [_config(entry) for entry in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    return {key: pack_words([json.dumps(config.get(key)) for config in configs]) for key in keys}


def _config(entry: RunEntry) -> dict[str, Any]:
    try:
        return entry.config
    except RecordError:
        return {}


def _failure(cause: dict[str, Any]) -> dict[str, str]:
    return {key: str(cause.get(key) or "") for key in ("cell", "error", "message", "time")}


def _word(value: Any) -> str:
    """Return a parameter as it is shown: numbers without the digits that say nothing."""
    return f"{value:g}" if isinstance(value, float) else str(value)
