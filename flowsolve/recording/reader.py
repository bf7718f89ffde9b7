"""Read a run's record back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import RecordError
from .schema import SCHEMA


@dataclass
class RunRecord:
    """A run as it stands in its file.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    status : str
        ``running``, ``finished``, ``interrupted`` or ``failed``.
    config : dict
        The configuration the run can be repeated from.
    attributes : dict
        Attributes of the root: versions, creation time, run id.
    trace : dict of str to numpy.ndarray, shape (iterations + 1, N)
        Columns of the trace; ``iteration`` has shape (iterations + 1,).
    problem : dict of str to numpy.ndarray
        ``y``, ``sigma`` and, where known, ``x_true``.
    best, final : dict of str to numpy.ndarray
        ``x``, ``z``, ``value``, ``iteration``; ``final`` also ``status``. NaN while the run goes on.
    """

    path: Path
    status: str
    config: dict[str, Any]
    attributes: dict[str, Any]
    trace: dict[str, np.ndarray]
    problem: dict[str, np.ndarray]
    best: dict[str, np.ndarray]
    final: dict[str, np.ndarray]


def read_run(path: str | Path) -> RunRecord:
    """Return the run recorded at `path`, finished or still running.

    Raises
    ------
    RecordError
        If there is no such file, it is not HDF5, not a run, or of a newer schema.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordError(f"record: no file {path}")
    try:
        file = h5py.File(path, "r", libver="latest", swmr=True)
    except OSError as error:
        raise RecordError(f"record: {path} is not a readable HDF5 file: {error}") from error
    with file:
        schema = file.attrs.get("schema")
        if schema is None or "config" not in file:
            raise RecordError(f"record: {path} is HDF5 but not a run of flowsolve")
        if schema > SCHEMA:
            raise RecordError(
                f"record: {path} has schema {schema}; this version of flowsolve reads up to {SCHEMA}"
            )
        return RunRecord(
            path=path,
            status=str(file.attrs["status"]),
            config=json.loads(file["config"].attrs["json"]),
            attributes=dict(file.attrs),
            trace=_read_trace(file["trace"]) if "trace" in file else {},
            problem={name: data[()] for name, data in file["problem"].items()},
            best={name: data[()] for name, data in file["best"].items()},
            final={name: data[()] for name, data in file["final"].items()},
        )


def _read_trace(group: h5py.Group) -> dict[str, np.ndarray]:
    iteration = group["iteration"][()]
    columns = {name: data for name, data in group.items() if name not in ("iteration", "image")}
    # A writer may be ahead in some columns: the axis says how many iterations are complete.
    trace = {name: data[:, : len(iteration)].T for name, data in columns.items()}
    return {"iteration": iteration, **trace}
