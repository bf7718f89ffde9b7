"""Write a run to HDF5 while it runs, so that a kill at any moment leaves a file that opens.

The file is laid out completely under another name, switched to single-writer multiple-reader mode, in which
every flush leaves it consistent, and only then given its name. Rows of the trace are gathered and written
about once a second, checkpoints every few seconds. When the run has finished, the file is written once more
without the checkpoints, as plain HDF5 that any viewer opens, and takes the place of the first.
"""

from __future__ import annotations

import json
import os
import socket
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
from ..files import target
from ..numbers import as_count, plain, to_float
from ..objectives.base import Objective
from ..result import Iterate, Result
from ..tally import with_all_counts
from .checkpoint import Arrays, Slots
from .disk_room import ask_for_room, give_back_room
from .earlier import IDENTITY, EarlierStages
from .parts import part_beside, remove_abandoned
from .schema import OUTCOME, SCHEMA, UNITS, superblock

#: A checkpoint may take at most this share of the run's time; where writing one is slow they come less often.
CHECKPOINT_SHARE = 0.005

#: Iterations of one column of the trace that are stored together.
TRACE_CHUNK = 256


class RunWriter:
    """Writer of one run's record; nothing is written before the run has begun.

    Parameters
    ----------
    path : path
        File to create; its folder must exist.
    config : dict
        The run's configuration, JSON-able.
    objective : Objective
        What is minimised: measurements, truth and shapes are taken from it.
    start : dict of str to torch.Tensor, optional
        Start images ``x`` or latents ``z``, where they cannot be made again from a name and a seed.
    force : bool
        Whether an existing file may be replaced.
    snapshot_every : int, optional
        Keep the images every so many iterations.
    earlier : EarlierStages, optional
        In a method, the stages before this one, whose trace the record goes on from.
    flush_seconds, checkpoint_seconds : float
        How long rows of the trace may wait, and how long a kill may set the run back.

    Attributes
    ----------
    seconds : float
        Time spent recording so far.
    identity : dict of str to str
        ``run_id`` and ``created`` of the record.

    Raises
    ------
    ArgumentError
        If the file exists and `force` is False, an interval is not positive, or the configuration holds what
        JSON does not have.
    RecordError
        If the folder is not there or may not be written to.
    """

    def __init__(
        self,
        path: str | Path,
        config: dict[str, Any],
        objective: Objective,
        *,
        start: dict[str, torch.Tensor] | None = None,
        earlier: EarlierStages | None = None,
        force: bool = False,
        snapshot_every: int | None = None,
        flush_seconds: float = 1.0,
        checkpoint_seconds: float = 10.0,
    ) -> None:
        # The program may go to another folder while the run goes on.
        self.path = Path(path).absolute()
        if self.path.exists() and not force:
            raise ArgumentError(
                "record", f"{self.path}, which exists", "a new file, or force=True to replace it"
            )
        self.path = target(self.path, "record")
        self.earlier = earlier
        self._offset = 0 if earlier is None else earlier.offset
        options = checked_options(snapshot_every, checkpoint_seconds, flush_seconds)
        self.snapshot_every = options["snapshot_every"]
        self.flush_seconds, self.checkpoint_seconds = options["flush_seconds"], options["checkpoint_seconds"]
        if not self.path.parent.is_dir() or not os.access(self.path.parent, os.W_OK):
            reason = "may not be written to" if self.path.parent.is_dir() else "is no folder"
            raise RecordError(f"record: cannot create {self.path}: {self.path.parent} {reason}")
        text = json.dumps(plain(config, "record"))
        columns = (config.get("metrics") or {}).get("columns", ())
        self._units = UNITS | {column["name"]: column["unit"] for column in columns if column["unit"]}
        self._lay_out_all = lambda: self._lay_out(text, objective, start or {})
        self.seconds = 0.0
        self._rows: list[tuple[int, dict[str, np.ndarray]]] = []
        self._written = 0
        self._last_flush = self._last_checkpoint = time.monotonic()
        self._checkpoint_cost = 0.0
        self._slots: Slots | None = None
        self._superblock = b""
        self._part = part_beside(self.path)
        self._opened: h5py.File | None = None
        self._closed = False

    def adopt(self, old: h5py.File, iteration: int) -> None:
        """Take over identity, trace and snapshots of an earlier part of the same run, up to an iteration."""

        def copy() -> None:
            for name in IDENTITY:
                self._file.attrs[name] = old.attrs[name]
            last = self._offset + iteration
            kept = int(np.searchsorted(old["trace/iteration"][()], last, side="right"))
            columns = with_all_counts({name: data[()] for name, data in _columns(old["trace"]).items()})
            self._lay_out_trace({name: data[:, 0] for name, data in columns.items()})
            self._extend_trace(
                old["trace/iteration"][:kept], {name: data[:, :kept] for name, data in columns.items()}
            )
            if "snapshots" in old and self.snapshot_every is not None:
                for i in np.flatnonzero(old["snapshots/iteration"][()] <= last):
                    self._snapshot(int(old["snapshots/iteration"][i]), old["snapshots/x"][i])

        self._guard(copy)

    def adopt_identity(self, attributes: dict[str, Any]) -> None:
        """Take over identity and creation time of an earlier record of the same run."""

        def copy() -> None:
            for name in ("run_id", "created"):
                self._file.attrs[name] = attributes[name]

        self._guard(copy)

    def begin(self, arrays: Arrays, row: dict[str, np.ndarray] | None) -> None:
        """Make the record readable by others, with room for checkpoints of the shapes of `arrays`.

        Parameters
        ----------
        arrays : dict of str to numpy.ndarray
            The run's state; finished images must not have left it, unless it is resumed.
        row : dict of str to numpy.ndarray, optional
            Columns of the trace at the start; None where the trace was adopted.
        """

        def lay_out() -> None:
            if row is not None:
                self._begin_trace(row)
            ask_for_room(self._file, 2 * sum(array.nbytes for array in arrays.values()))
            self._slots = Slots.create(self._file.create_group("checkpoint"), arrays)
            # Whoever reads the record of a method finds at least the start of the stage that runs.
            self._flush()
            self._file.swmr_mode = True
            os.replace(self._part, self.path)

        self._guard(lay_out)

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
        self._rows.append((self._offset + iteration, self._of_method(row)))
        if self.snapshot_every is not None and iteration % self.snapshot_every == 0:
            self._guard(lambda: self._snapshot(self._offset + iteration, image().cpu().numpy()))
        if self._slots is not None and time.monotonic() - self._last_flush >= self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait and make them visible to readers."""
        self._guard(self._flush)
        self._last_flush = time.monotonic()

    @property
    def checkpoint_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        wait = max(self.checkpoint_seconds, self._checkpoint_cost / CHECKPOINT_SHARE)
        return time.monotonic() - self._last_checkpoint >= wait

    def checkpoint(self, arrays: Arrays, iteration: int) -> None:
        """Write the run's state; the trace up to it is written first."""
        began = time.monotonic()
        self.flush()
        assert self._slots is not None
        slots = self._slots
        self._guard(lambda: slots.write(arrays, iteration))
        self._last_checkpoint = time.monotonic()
        # A test that asks for a checkpoint every iteration gets it: only the default interval gives way.
        self._checkpoint_cost = self._last_checkpoint - began if self.checkpoint_seconds > 0 else 0.0

    def finish(self, result: Result, status: str) -> None:
        """Write best and final iterates and the status; a finished run loses its checkpoints.

        Parameters
        ----------
        result : Result
            The run's result as it stands.
        status : str
            ``finished``, ``interrupted`` or ``failed``.
        """
        self._guard(lambda: self._finish(result, status))

    def close(self) -> None:
        """Close the file; further calls do nothing. Of a record that was not begun nothing stays."""
        self._closed = True
        try:
            if self._opened:
                self._opened.close()
        except (OSError, RuntimeError, ValueError):
            # The disk already failed, which was reported; what was flushed before stays readable.
            pass
        finally:
            self._part.unlink(missing_ok=True)

    def _guard(self, write: Callable[[], None]) -> None:
        """Run a piece of writing on the clock; turn a failing disk into one clear error."""
        began = time.perf_counter()
        try:
            if self._opened is None and not self._closed:
                self._create()
            self._check_place()
            write()
            if self._slots is not None and self._file:
                self._superblock = superblock(self.path)
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, RecordError):
                raise
            self._detach()
            reason = str(error).split("(", 1)[-1].split(", filename", 1)[0].rstrip(")")
            raise RecordError(f"record: writing {self.path} failed: {reason}") from error
        finally:
            self.seconds += time.perf_counter() - began

    def _detach(self) -> None:
        """Let nothing more reach the file after a write has failed.

        HDF5 would try again when the file is closed and when the process ends. Its descriptor is pointed
        elsewhere, and the superblock gets back the end mark of the last flush, so that the file is as that
        flush left it.
        """
        if not self._opened:
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(nowhere, self._file.id.get_vfd_handle())
        finally:
            os.close(nowhere)
        if self._superblock:
            with self.path.open("r+b") as file:
                file.write(self._superblock)

    def _check_place(self) -> None:
        """Notice a file that was removed or may no longer be written, which an open file would not tell."""
        place = self._part if self._part.exists() else self.path
        try:
            gone = os.stat(place).st_ino != self._inode
        except OSError:
            gone = True
        if gone:
            raise RecordError(f"record: {self.path} was removed or replaced while the run was writing it")
        if not os.access(place, os.W_OK) or not os.access(place.parent, os.W_OK):
            raise RecordError(f"record: permission to write {self.path} was lost")

    @property
    def _file(self) -> h5py.File:
        if self._opened is None:
            raise RecordError(f"record: {self.path} has been closed before its run began")
        return self._opened

    def _create(self) -> None:
        """Create the file under a name of its own and lay it out; remove it again if that fails."""
        remove_abandoned(self.path.parent)
        try:
            # Layout v110 is the oldest that allows readers while it is written.
            self._opened = h5py.File(self._part, "x", libver=("v110", "v110"))
        except OSError as error:
            raise RecordError(f"record: cannot create {self.path}: {error}") from error
        try:
            self._inode = os.stat(self._part).st_ino
            self._lay_out_all()
        except BaseException:
            self.close()
            raise

    def _lay_out(self, config: str, objective: Objective, start: dict[str, torch.Tensor]) -> None:
        file, n = self._file, len(objective)
        file.attrs.update(
            {
                "NX_class": "NXroot",
                "default": "trace",
                "schema": SCHEMA,
                "flowsolve_version": __version__,
                "created": datetime.now(timezone.utc).isoformat(),
                "run_id": str(uuid.uuid4()),
                "host": socket.gethostname(),
                "pid": os.getpid(),
            }
        )
        if self.earlier is not None:
            file.attrs.update(self.earlier.identity)
        self.identity = {name: str(file.attrs[name]) for name in IDENTITY}
        file.create_dataset("status", (), "S16", data=np.bytes_("running"))
        file.create_dataset("seconds", (), "f8", data=0.0)
        file.create_group("config").attrs["json"] = config
        problem = objective.problem
        # Measurements, truth and start, and images and latents of the best and the last iterate.
        arrays = [problem.y, problem.x_true, *start.values()]
        ask_for_room(file, sum(t.numel() for t in arrays if t is not None) * 8 + 32 * n * objective.prior.n)
        group = file.create_group("problem")
        group["y"] = problem.y.cpu().numpy()
        group["sigma"] = problem.sigma
        if problem.x_true is not None:
            group["x_true"] = problem.x_true.cpu().numpy()
        dtype = group["y"].dtype
        for name, tensor in start.items():
            file[f"start/{name}"] = tensor.cpu().numpy()
        if self.earlier is not None:
            self.earlier.write(file)
        for name in ("best", "final"):
            iterate = file.create_group(name)
            # Room is taken at once: a reader can then refuse a file that claims more than it holds.
            taken = {"x": (n, *objective.shape), "z": (n, objective.prior.n)}
            for part, shape in taken.items():
                iterate.create_dataset(part, shape, dtype, fillvalue=np.nan, dcpl=_allocated_early())
            iterate.create_dataset("value", (n,), "f8", fillvalue=np.nan)
            iterate.create_dataset("iteration", (n,), "i8", fillvalue=-1)
        file["final"].create_dataset("status", (n,), "S24")
        if self.snapshot_every is not None:
            snapshots = file.create_group("snapshots")
            shape = (0, n, *objective.shape)
            snapshots.create_dataset("x", shape, dtype, maxshape=(None, *shape[1:]), chunks=(1, *shape[1:]))
            snapshots.create_dataset("iteration", (0,), "i8", maxshape=(None,))

    def _of_method(self, row: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return row if self.earlier is None else self.earlier.globally(row)

    def _begin_trace(self, row: dict[str, np.ndarray]) -> None:
        """Lay out the trace with the columns of `row`, and put those of earlier stages before it."""
        if self.earlier is None or not self.earlier.ended:
            self._lay_out_trace(self._of_method(row))
            return
        joined = self.earlier.joined({name: column[None] for name, column in row.items()})
        before = {name: column[:-1].T for name, column in joined.items()}
        self._lay_out_trace({name: column[-1] for name, column in joined.items()})
        self._extend_trace(np.arange(self._offset), before)

    def _lay_out_trace(self, row: dict[str, np.ndarray]) -> None:
        n = len(row["value"])
        trace = self._file.create_group("trace")
        trace.attrs.update({"NX_class": "NXdata", "signal": "value", "axes": ["image", "iteration"]})
        trace["image"] = np.arange(n)
        trace.create_dataset("iteration", (0,), "i8", maxshape=(None,), chunks=(1024,))
        for name, column in row.items():
            # Iterations run along the last axis, so that viewers draw a curve for each image.
            data = trace.create_dataset(
                name, (n, 0), column.dtype, maxshape=(n, None), chunks=(n, TRACE_CHUNK)
            )
            data.attrs["interpretation"] = "spectrum"
            if name in self._units:
                data.attrs["units"] = self._units[name]

    def _snapshot(self, iteration: int, x: np.ndarray) -> None:
        ask_for_room(self._file, x.nbytes)
        group = self._file["snapshots"]
        count = group["iteration"].shape[0]
        group["x"].resize(count + 1, axis=0)
        group["x"][count] = x
        group["iteration"].resize(count + 1, axis=0)
        group["iteration"][count] = iteration

    def _flush(self) -> None:
        if self._rows:
            names = self._rows[0][1]
            # Each column may begin a chunk.
            ask_for_room(self._file, len(names) * TRACE_CHUNK * self._file["trace/image"].nbytes)
            self._extend_trace(
                np.array([iteration for iteration, _ in self._rows]),
                {name: np.stack([row[name] for _, row in self._rows], axis=1) for name in names},
            )
            self._rows = []
        self._file.flush()

    def _extend_trace(self, iterations: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        trace, start, stop = self._file["trace"], self._written, self._written + len(iterations)
        for name, data in _columns(trace).items():
            data.resize(stop, axis=1)
            # A column that another stage has, and this one does not.
            data[:, start:stop] = columns.get(name, np.nan)
        # The axis is extended last: a reader that trusts its length never sees a column too short.
        trace["iteration"].resize(stop, axis=0)
        trace["iteration"][start:stop] = iterations
        self._written = stop

    def _finish(self, result: Result, status: str) -> None:
        self._flush()
        file = self._file
        self._write_iterate("best", result.best)
        self._write_iterate("final", result.final)
        file["final/status"][:] = np.array(result.status, dtype="S24")
        file["seconds"][()] = result.seconds
        if result.notes or result.fallback is not None:
            fallback = None if result.fallback is None else result.fallback.tolist()
            file.attrs[OUTCOME] = json.dumps({"notes": list(result.notes), "fallback": fallback})
        file["status"][()] = np.bytes_(status)
        give_back_room(file)
        file.close()
        if status == "finished":
            with h5py.File(self.path) as whole, h5py.File(self._part, "x") as compact:
                ask_for_room(compact, self.path.stat().st_size)
                compact.attrs.update(whole.attrs)
                for name in whole:
                    if name != "checkpoint":
                        whole.copy(name, compact)
                give_back_room(compact)
            os.replace(self._part, self.path)

    def _write_iterate(self, name: str, iterate: Iterate) -> None:
        group = self._file[name]
        group["x"][...] = iterate.x.cpu().numpy()
        group["z"][...] = iterate.z.cpu().numpy()
        group["value"][...] = iterate.value
        group["iteration"][...] = iterate.iteration


def checked_options(
    snapshot_every: int | None, checkpoint_seconds: float, flush_seconds: float
) -> dict[str, Any]:
    """Return the options of a record as Python numbers, or raise `ArgumentError`."""
    options: dict[str, Any] = {"snapshot_every": None}
    if snapshot_every is not None:
        options["snapshot_every"] = as_count(snapshot_every, "snapshot_every", least=1)
    for name, value in (("checkpoint_seconds", checkpoint_seconds), ("flush_seconds", flush_seconds)):
        options[name] = to_float(value, name, "a number >= 0")
        if not options[name] >= 0:
            raise ArgumentError(name, value, "a number >= 0")
    return options


def _allocated_early() -> h5py.h5p.PropDCID:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    return properties


def _columns(trace: h5py.Group) -> dict[str, h5py.Dataset]:
    names = [name for name in trace if name not in ("iteration", "image")]
    return {name: trace[name] for name in names if isinstance(trace[name], h5py.Dataset)}
