"""Write a run to HDF5 while it runs.

The file is laid out completely before the first iteration and then switched to single-writer multiple-reader
mode, in which every flush leaves a file that other processes can open. Rows of the trace are gathered and
written about once a second.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from .. import __version__
from ..errors import ArgumentError, RecordError
from ..objectives.base import Objective
from ..result import Iterate, Result
from .schema import SCHEMA, UNITS


class RunWriter:
    """Writer of one run's record.

    Parameters
    ----------
    path : path
        File to create; its folder must exist.
    config : dict
        The run's configuration, JSON-able.
    objective : Objective
        What is minimised: measurements, truth and shapes are taken from it.
    force : bool
        Whether an existing file may be replaced.
    snapshot_every : int, optional
        Keep the images every so many iterations.
    flush_seconds : float
        How long rows may wait before they are written.

    Raises
    ------
    ArgumentError
        If the file exists and `force` is False, or `snapshot_every` is below 1.
    RecordError
        If the file cannot be created.
    """

    def __init__(
        self,
        path: str | Path,
        config: dict[str, Any],
        objective: Objective,
        *,
        force: bool = False,
        snapshot_every: int | None = None,
        flush_seconds: float = 1.0,
    ) -> None:
        self.path = Path(path)
        if self.path.exists() and not force:
            raise ArgumentError(
                "record", f"{self.path}, which exists", "a new file, or force=True to replace it"
            )
        if snapshot_every is not None and snapshot_every < 1:
            raise ArgumentError("snapshot_every", snapshot_every, "an integer >= 1")
        self.snapshot_every, self.flush_seconds = snapshot_every, flush_seconds
        self._rows: list[tuple[int, dict[str, np.ndarray]]] = []
        self._written = 0
        self._last_flush = time.monotonic()
        try:
            self._file = h5py.File(self.path, "w", libver="latest")
        except OSError as error:
            raise RecordError(f"record: cannot create {self.path}: {error}") from error
        self._lay_out(config, objective)

    def append(self, iteration: int, row: dict[str, np.ndarray], image: Callable[[], torch.Tensor]) -> None:
        """Add an iteration to the trace.

        Parameters
        ----------
        iteration : int
            Number of iterations done.
        row : dict of str to numpy.ndarray, shape (N,)
            Columns of the trace.
        image : callable
            Returns the current images; called only when a snapshot is due.
        """
        if iteration == 0:
            self._lay_out_trace(row)
        self._rows.append((iteration, row))
        if self.snapshot_every is not None and iteration % self.snapshot_every == 0:
            self._guard(lambda: self._snapshot(iteration, image()))
        if time.monotonic() - self._last_flush >= self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait and make them visible to readers."""
        self._guard(self._flush)
        self._last_flush = time.monotonic()

    def finish(self, result: Result, status: str) -> None:
        """Write best and final iterates and the status.

        Parameters
        ----------
        result : Result
            The run's result as it stands.
        status : str
            ``finished``, ``interrupted`` or ``failed``.
        """
        self._guard(lambda: self._finish(result, status))

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._file:
            self._file.close()

    def _guard(self, write: Callable[[], None]) -> None:
        """Turn a failing disk into one clear error."""
        try:
            write()
        except (OSError, RuntimeError) as error:
            raise RecordError(f"record: writing {self.path} failed: {error}") from error

    def _lay_out(self, config: dict[str, Any], objective: Objective) -> None:
        file, n = self._file, len(objective)
        file.attrs.update(
            {
                "NX_class": "NXroot",
                "default": "trace",
                "schema": SCHEMA,
                "flowsolve_version": __version__,
                "status": "running",
                "created": datetime.now(timezone.utc).isoformat(),
                "run_id": str(uuid.uuid4()),
            }
        )
        file.create_group("config").attrs["json"] = json.dumps(config)
        problem = objective.problem
        group = file.create_group("problem")
        group["y"] = problem.y.cpu().numpy()
        group["sigma"] = problem.sigma
        if problem.x_true is not None:
            group["x_true"] = problem.x_true.cpu().numpy()
        dtype = group["y"].dtype
        for name in ("best", "final"):
            iterate = file.create_group(name)
            iterate.create_dataset("x", (n, *objective.shape), dtype, fillvalue=np.nan)
            iterate.create_dataset("z", (n, objective.prior.n), dtype, fillvalue=np.nan)
            iterate.create_dataset("value", (n,), "f8", fillvalue=np.nan)
            iterate.create_dataset("iteration", (n,), "i8", fillvalue=-1)
        file["final"].create_dataset("status", (n,), "S24")
        if self.snapshot_every is not None:
            snapshots = file.create_group("snapshots")
            shape = (0, n, *objective.shape)
            snapshots.create_dataset("x", shape, dtype, maxshape=(None, *shape[1:]), chunks=(1, *shape[1:]))
            snapshots.create_dataset("iteration", (0,), "i8", maxshape=(None,))

    def _lay_out_trace(self, row: dict[str, np.ndarray]) -> None:
        n = len(row["value"])
        trace = self._file.create_group("trace")
        trace.attrs.update({"NX_class": "NXdata", "signal": "value", "axes": ["image", "iteration"]})
        trace["image"] = np.arange(n)
        trace.create_dataset("iteration", (0,), "i8", maxshape=(None,), chunks=(1024,))
        for name, column in row.items():
            # Iterations run along the last axis, so that viewers draw a curve for each image.
            data = trace.create_dataset(name, (n, 0), column.dtype, maxshape=(n, None), chunks=(n, 256))
            data.attrs["interpretation"] = "spectrum"
            if name in UNITS:
                data.attrs["units"] = UNITS[name]
        self._file.swmr_mode = True

    def _snapshot(self, iteration: int, x: torch.Tensor) -> None:
        group = self._file["snapshots"]
        count = group["iteration"].shape[0]
        group["x"].resize(count + 1, axis=0)
        group["iteration"].resize(count + 1, axis=0)
        group["x"][count] = x.cpu().numpy()
        group["iteration"][count] = iteration

    def _flush(self) -> None:
        if self._rows:
            trace, start = self._file["trace"], self._written
            stop = start + len(self._rows)
            for name in self._rows[0][1]:
                block = np.stack([row[name] for _, row in self._rows], axis=1)
                trace[name].resize(stop, axis=1)
                trace[name][:, start:stop] = block
            # The axis is extended last: a reader that trusts its length never sees a column too short.
            trace["iteration"].resize(stop, axis=0)
            trace["iteration"][start:stop] = [iteration for iteration, _ in self._rows]
            self._rows, self._written = [], stop
        self._file.flush()

    def _finish(self, result: Result, status: str) -> None:
        self._flush()
        self._write_iterate("best", result.best)
        self._write_iterate("final", result.final)
        self._file["final/status"][:] = np.array(result.status, dtype="S24")
        self._file.flush()
        self._file.close()
        # Attributes cannot change in single-writer mode: the file is opened once more for the status.
        with h5py.File(self.path, "r+", libver="latest") as file:
            file.attrs["status"] = status
            file.attrs["seconds"] = result.seconds

    def _write_iterate(self, name: str, iterate: Iterate) -> None:
        group = self._file[name]
        group["x"][...] = iterate.x.cpu().numpy()
        group["z"][...] = iterate.z.cpu().numpy()
        group["value"][...] = iterate.value
        group["iteration"][...] = iterate.iteration
