"""Read a run's record: finished, still running, interrupted or killed."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ..errors import RecordError, UnsupportedError
from .checkpoint import Arrays, Slots
from .schema import check_schema, migrate

#: First bytes of every HDF5 file.
SIGNATURE = b"\x89HDF\r\n\x1a\n"

if TYPE_CHECKING:
    import pandas
    import xarray


class RunRecord:
    """A run as it stands in its file; `refresh` reads what has been written since.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    config : dict
        The configuration the run can be repeated from.
    attributes : dict
        Attributes of the file: versions, creation time, run id.
    trace : dict of str to numpy.ndarray, shape (iterations + 1, N)
        Columns of the trace; ``iteration`` has shape (iterations + 1,).

    Raises
    ------
    RecordError
        If there is no such file, it is not HDF5 or cut short, not a run, or of a schema that this version
        cannot read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.refresh()

    def refresh(self) -> RunRecord:
        """Read status and trace again; returns itself."""
        with self.open() as file:
            self.attributes = dict(file.attrs)
            schema = check_schema(self.attributes, self.path)
            self.config: dict[str, Any] = migrate(json.loads(file["config"].attrs["json"]), schema)
            self._status = file["status"][()].decode()
            self.trace = _read_trace(file["trace"]) if "trace" in file else {}
        return self

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``interrupted`` or ``failed``; ``killed`` if its process is gone."""
        if self._status == "running" and self._writer_is_gone():
            return "killed"
        return self._status

    @property
    def problem(self) -> dict[str, np.ndarray]:
        """``y``, ``sigma`` and, where known, ``x_true``."""
        return self._group("problem")

    @property
    def start(self) -> dict[str, np.ndarray]:
        """``x`` or ``z`` of a start that was given as a tensor; empty for a named one."""
        return self._group("start")

    @property
    def best(self) -> dict[str, np.ndarray]:
        """``x``, ``z``, ``value`` and ``iteration`` of each image's lowest F; NaN until the run ends."""
        return self._group("best")

    @property
    def final(self) -> dict[str, np.ndarray]:
        """As `best`, where each image ended, and its ``status``."""
        return self._group("final")

    @property
    def snapshots(self) -> dict[str, np.ndarray]:
        """``iteration`` (K,) and images ``x`` (K, N, C, H, W) kept along the way; empty without any."""
        return self._group("snapshots")

    @property
    def seconds(self) -> float:
        """Solver time so far."""
        return float(self.trace["seconds"][-1].max()) if self.trace else 0.0

    def checkpoint(self) -> tuple[int, Arrays] | None:
        """Return iteration and state of the newest whole checkpoint, or None."""
        with self.open() as file:
            return Slots(file["checkpoint"]).read() if "checkpoint" in file else None

    def to_frame(self) -> pandas.DataFrame:
        """Return the trace as a pandas frame, one row for each iteration and image.

        Raises
        ------
        UnsupportedError
            If pandas is not installed (extra ``study``).
        """
        pandas = _optional("pandas")
        iterations, images = self._axes()
        index = pandas.MultiIndex.from_product([iterations, images], names=["iteration", "image"])
        columns = {name: column.reshape(-1) for name, column in self.trace.items() if name != "iteration"}
        return pandas.DataFrame(columns, index=index)

    def to_xarray(self) -> xarray.Dataset:
        """Return the trace as an xarray Dataset with dimensions iteration and image.

        Raises
        ------
        UnsupportedError
            If xarray is not installed (extra ``study``).
        """
        xarray = _optional("xarray")
        iterations, images = self._axes()
        columns = {
            name: (("iteration", "image"), column)
            for name, column in self.trace.items()
            if name != "iteration"
        }
        attributes = {"run_id": self.attributes["run_id"], "status": self.status}
        return xarray.Dataset(columns, {"iteration": iterations, "image": images}, attributes)

    @contextmanager
    def open(self) -> Iterator[h5py.File]:
        """Open the file for reading, beside a writer if need be."""
        if not self.path.is_file():
            raise RecordError(f"record: no file {self.path}")
        if _is_cut_short(self.path):
            raise RecordError(f"record: {self.path} is cut short or damaged: it ends before its own end mark")
        try:
            file = _open_file(self.path)
        except OSError as error:
            kind = "cut short or damaged" if _header(self.path).startswith(SIGNATURE) else "not an HDF5 file"
            raise RecordError(f"record: {self.path} is {kind}: {error}") from error
        with file:
            try:
                check_schema(file.attrs, self.path)
                yield file
            except (OSError, KeyError, RuntimeError) as error:
                if isinstance(error, RecordError):
                    raise
                raise RecordError(f"record: {self.path} is cut short or damaged: {error}") from error

    def _group(self, name: str) -> dict[str, np.ndarray]:
        with self.open() as file:
            return {key: data[()] for key, data in file[name].items()} if name in file else {}

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        return self.trace["iteration"], np.arange(self.config["n_images"])

    def _writer_is_gone(self) -> bool:
        if self.attributes.get("host") != socket.gethostname():
            return False
        try:
            os.kill(int(self.attributes["pid"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def open_run(path: str | Path) -> RunRecord:
    """Return the run recorded at `path`: finished, running, interrupted or killed.

    Parameters
    ----------
    path : path
        The run's HDF5 file.

    Returns
    -------
    RunRecord
        Configuration, status, trace (also as a pandas frame or an xarray Dataset) and iterates.

    Raises
    ------
    RecordError
        If there is no such file, it is not HDF5 or cut short, not a run, or of a schema that this version
        cannot read.
    """
    return RunRecord(path)


def _read_trace(group: h5py.Group) -> dict[str, np.ndarray]:
    iteration = group["iteration"][()]
    columns = {name: data for name, data in group.items() if name not in ("iteration", "image")}
    # A writer may be ahead in some columns: the axis says how many iterations are complete.
    trace = {name: data[:, : len(iteration)].T for name, data in columns.items()}
    return {"iteration": iteration, **trace}


def _open_file(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError:
        # Being written, or left so by a killed writer: the mode for readers beside a writer opens both.
        return h5py.File(path, "r", libver="latest", swmr=True)


def _is_cut_short(path: Path) -> bool:
    """Whether the file is shorter than its superblock says (HDF5 file format, versions 2 and 3).

    Readers beside a writer have to put up with an end mark that lags behind, so the library does not check it
    for them; a file only grows, so one that is shorter was cut.
    """
    header = _header(path)
    if not header.startswith(SIGNATURE) or len(header) < 36 or header[8] not in (2, 3):
        return False
    return path.stat().st_size < int.from_bytes(header[28:36], "little")


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(36)


def _optional(package: str) -> Any:
    try:
        return __import__(package)
    except ImportError:
        raise UnsupportedError(
            f"{package} is not installed; pip install 'flowsolve[study]' brings it"
        ) from None
