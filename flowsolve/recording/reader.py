"""Read a run's record: finished, still running, interrupted or killed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ..described import Described, mean_of
from ..errors import FlowsolveError, RecordError, UnsupportedError
from ..files import kind
from ..tally import with_all_counts
from .baselines import BASELINES
from .checkpoint import Arrays, Slots
from .earlier import EarlierStages, read_earlier
from .layout import Layout, check_attributes, read_attribute, refreshed, status_of
from .model import check_config, parse_config, parse_outcome
from .parts import process_is_gone
from .schema import OUTCOME, SIGNATURE, SUPERBLOCK, check_schema, migrate, superblock

if TYPE_CHECKING:
    import pandas
    import xarray


TRIES, PAUSE = 10, 0.02
"""How often a record is read that is just being written, and the seconds between."""


class RunRecord(Described):
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
        Attributes of the file: schema, version, creation time, run id, host and process of the writer.
    trace : dict of str to numpy.ndarray, shape (iterations + 1, N)
        Columns of the trace; ``iteration`` has shape (iterations + 1,).

    Raises
    ------
    RecordError
        If there is no such file, it is not HDF5 or cut short, not a run, or of a schema that this version
        cannot read.
    """

    def __init__(self, path: str | Path) -> None:
        # It is read again later on, when the program may have gone to another folder.
        self.path = Path(path).absolute()
        self.refresh()

    def in_lines(self) -> list[str]:
        """Return what matters, in words."""
        objective, trace = self.config["objective"], self.trace
        prior = self.config["prior"]["name"]
        method = "" if self.method is None else f", method {self.method['name']}"
        lines = [
            f"RunRecord {self.path.name}: {self.status}",
            f"operator: {self.config['operator']['name']}, {self.config['n_images']} images",
            f"objective: {objective['formulation']}, {objective['phi']}, prior {prior}",
            f"solver: {self.config['solver']['name']}{method}",
        ]
        if len(trace.get("iteration", ())):
            lines.append(f"iterations: {trace['iteration'][-1]}, {self.seconds:.1f} s")
        if "psnr" in trace and len(trace["psnr"]):
            lines.append(f"PSNR now: {mean_of(trace['psnr'][-1])} dB")
        return lines

    def refresh(self) -> RunRecord:
        """Read status and trace again; returns itself."""
        ended = False
        for left in reversed(range(TRIES)):
            try:
                self._read()
                break
            except RecordError:
                # A writer may be about to write what it has just announced, or have ended during the reading.
                if not left or ended:
                    raise
                ended = not being_written(self.path)
                time.sleep(PAUSE)
        return self

    def _read(self) -> None:
        with _open_checked(self.path) as opened:
            file, self.attributes, self.config = opened.file, opened.attributes, opened.config
            self._status = file["status"][()].decode()
            self.trace = _read_trace(file["trace"]) if "trace" in file else {}

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
    def earlier(self) -> EarlierStages:
        """The stages of a method that had ended; none for a run of one solver."""
        with self.open() as file:
            return read_earlier(file, self.trace)

    @property
    def baselines(self) -> dict[str, np.ndarray]:
        """Classical restorations (N, C, H, W) by name; empty where none were recorded."""
        return self._group(BASELINES)

    @property
    def method(self) -> dict[str, Any] | None:
        """The method that was run, with its stages and the reason for them; None for a run of one solver."""
        return self.config.get("method")

    @property
    def last_iteration(self) -> int | None:
        """Number of the last iteration, should nothing end the run before; None without a limit."""
        return self.config["limits"]["max_iter"] if self.method is None else self.method["last_iteration"]

    @property
    def outcome(self) -> dict[str, Any]:
        """``notes`` and ``fallback``, which images are the classical start; empty for a single run."""
        with self.open() as file:
            text = read_attribute(file, OUTCOME) if OUTCOME in file.attrs else None
        return parse_outcome(text, self.config["n_images"], self.path)

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

    def open(self) -> AbstractContextManager[h5py.File]:
        """Open the file for reading, beside a writer if need be."""
        return open_file(self.path)

    def _group(self, name: str) -> dict[str, np.ndarray]:
        return read_group(self.path, name)

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        return self.trace["iteration"], np.arange(self.config["n_images"])

    def _writer_is_gone(self) -> bool:
        return self.attributes["host"] == socket.gethostname() and process_is_gone(self.attributes["pid"])


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


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """Open a record for reading, beside a writer if need be.

    Raises
    ------
    RecordError
        As for `open_run`, and for what is found damaged while it is read.
    """
    with _open_unchecked(path) as file:
        if _stamp(file) not in _checked_before:
            _checked(file, path)
        yield file


@dataclass(frozen=True)
class _Opened:
    """A file that was checked, with what the checks have read of it."""

    file: h5py.File
    attributes: dict[str, Any]
    config: dict[str, Any]


@contextmanager
def _open_checked(path: Path) -> Iterator[_Opened]:
    """Open a record and check all that readers rely on: links, sizes, configuration, datasets."""
    with _open_unchecked(path) as file:
        yield _checked(file, path)


@contextmanager
def _open_unchecked(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise RecordError(f"record: {path} is {kind(path)}" if path.exists() else f"record: no file {path}")
    try:
        file = _open_file(path)
    except OSError as error:
        what = "cut short or damaged" if superblock(path).startswith(SIGNATURE) else "not an HDF5 file"
        raise RecordError(f"record: {path} is {what}: {error}") from error
    with file:
        try:
            yield file
        except FlowsolveError:
            raise
        # What HDF5 finds damaged it says in many ways.
        except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise RecordError(f"record: {path} is cut short or damaged: {error}") from error


def read_group(path: Path, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a group of a record, and nothing else of it; empty if there is no such group."""
    with open_file(path) as file:
        if not isinstance(file.get(name), h5py.Group):
            return {}
        arrays = {key: data for key, data in file[name].items() if isinstance(data, h5py.Dataset)}
        return {key: data[()] for key, data in arrays.items() if data.dtype.kind in "fiubS"}


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a record, and nothing else of it."""
    with _open_checked(path) as opened:
        return opened.config


def _stamp(file: h5py.File) -> tuple[int, ...]:
    """Return what another content of a file would change."""
    status = status_of(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


#: Stamps of files that were found in order: a report reads thousands of finished records several times.
_checked_before: set[tuple[int, ...]] = set()


def _checked(file: h5py.File, path: Path) -> _Opened:
    stamp = _stamp(file)
    if "schema" in file.attrs:
        schema = check_schema({"schema": read_attribute(file, "schema")}, path)
    else:
        schema = check_schema({}, path)
    attributes = check_attributes(file, path)
    layout = Layout(file, path)
    layout.check_objects()
    text = None
    if isinstance(file.get("config"), h5py.Group) and "json" in file["config"].attrs:
        text = read_attribute(file["config"], "json")
    if not isinstance(text, str):
        raise RecordError(f"record: {path}: its configuration is missing")
    config = check_config(migrate(parse_config(text, path), schema), path)
    layout.check_contents(config)
    if len(_checked_before) > 100_000:
        _checked_before.clear()
    _checked_before.add(stamp)
    return _Opened(file, attributes, config)


def _read_trace(group: h5py.Group) -> dict[str, np.ndarray]:
    iteration = group["iteration"][()]
    names = [name for name in group if name not in ("iteration", "image")]
    columns = {name: group[name] for name in names if isinstance(group[name], h5py.Dataset)}
    # A writer may be ahead in some columns: the axis says how many iterations are complete.
    complete = len(iteration)
    trace = {name: refreshed(data, complete)[:, :complete].T for name, data in columns.items()}
    return {"iteration": iteration, **with_all_counts(trace)}


def being_written(path: Path) -> bool:
    """Return whether a writer has a file, or was killed with it: byte 11 of the superblock says so."""
    try:
        header = superblock(path)
    except OSError:
        return False
    return header.startswith(SIGNATURE) and len(header) == SUPERBLOCK and header[8] >= 3 and bool(header[11])


def _open_file(path: Path) -> h5py.File:
    # Only where a writer has the file the mode for readers beside a writer, which does not check where the
    # file ends: on one that was cut short it would wait for the missing part.
    if not being_written(path):
        return h5py.File(path, "r")
    for _ in range(5):
        if int.from_bytes(superblock(path)[28:36], "little") <= path.stat().st_size:
            return h5py.File(path, "r", libver="latest", swmr=True)
        # A writer may be about to extend the file to the end it has just marked.
        time.sleep(0.02)
    raise OSError("it ends before its own end mark")


def _optional(package: str) -> Any:
    try:
        return __import__(package)
    except ImportError:
        raise UnsupportedError(
            f"{package} is not installed; pip install 'flowsolve[study]' brings it"
        ) from None
