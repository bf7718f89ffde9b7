"""The index of a study: what every run of a folder did to every image, as one table.

The table holds a few numbers of each run and image; traces, images and latents stay in the records and are
read when they are asked for. A record that cannot be read is listed among the failures, so that one damaged
file does not hide a thousand others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, FlowsolveError, RecordError
from ..files import kind, read_text
from ..recording import RunRecord, open_run
from ..recording.reader import read_config, read_group
from .extras import require
from .parameters import parameters_of_record
from .rows import COLUMNS, table_rows

if TYPE_CHECKING:
    import pandas

#: What the measurements of a row depend on; rows that agree in it restore the same image from the same data.
MEASUREMENT = ("task", "operator", "sigma", "image", "measurement")

#: What the value of F depends on besides: rows that agree in this minimise the same function.
OBJECTIVE = (*MEASUREMENT, "prior", "method", "formulation", "phi", "lam")


@dataclass(frozen=True)
class RunEntry:
    """A run of the index.

    Attributes
    ----------
    id : str
        The cell's, or the name of the file.
    path : pathlib.Path
        Its record.
    parameters : dict
        As in a plan's cells.
    status : str
        Of the record: ``running``, ``finished``, ``interrupted``, ``failed`` or ``killed``.
    """

    id: str
    path: Path
    parameters: dict[str, Any]
    status: str

    @property
    def images(self) -> list[str]:
        """Names of the images, N of them."""
        return [str(name) for name in self.parameters["images"]]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration the run can be repeated from; read anew each time."""
        return read_config(self.path)

    @property
    def trace(self) -> dict[str, np.ndarray]:
        """Columns of the trace, (K, N), and ``iteration``, (K,); read anew each time."""
        return self.record().trace

    @property
    def best(self) -> dict[str, np.ndarray]:
        """``x`` (N, C, H, W), ``z`` (N, n), ``value``, ``iteration`` at the best; NaN until it ends."""
        return read_group(self.path, "best")

    @property
    def final(self) -> dict[str, np.ndarray]:
        """As `best`, where each image ended, and its ``status``."""
        return read_group(self.path, "final")

    @property
    def problem(self) -> dict[str, np.ndarray]:
        """``y``, ``sigma`` and, where known, ``x_true``."""
        return read_group(self.path, "problem")

    def record(self) -> RunRecord:
        """Return the record as it stands now."""
        return open_run(self.path)


@dataclass
class Index:
    """What is known of the runs of a study, or of any records.

    Attributes
    ----------
    runs : list of RunEntry
        Runs with a record that can be read.
    failed : list of dict
        Failures, as the study wrote them: ``cell``, ``error``, ``message``, ``time``; ``parameters`` is the
        plan's cell. A record that cannot be read is one too, with its file under ``path``.
    waiting : list of dict
        Planned cells with neither a record nor a failure.
    table : pandas.DataFrame
        One row a run and image; the columns are those of `flowsolve.studies.rows.COLUMNS`, and those of
        further metrics.
    """

    runs: list[RunEntry]
    failed: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    table: pandas.DataFrame
    _seen: dict[Path, _Seen] = field(default_factory=dict, repr=False)

    def problems(self, by: Sequence[str] = OBJECTIVE) -> Iterator[tuple[dict[str, Any], pandas.DataFrame]]:
        """Yield the problems, each with its rows, in the order of the table.

        Parameters
        ----------
        by : sequence of str
            Columns in which the rows of a problem agree: `OBJECTIVE`, where values of F are compared, or
            `MEASUREMENT`, where images are.
        """
        for key, rows in self.table.groupby(list(by), sort=False, dropna=False):
            yield dict(zip(by, key, strict=True)), rows

    def run(self, name: str) -> RunEntry:
        """Return the run of an id, or raise `ArgumentError`."""
        for entry in self.runs:
            if entry.id == name:
                return entry
        raise ArgumentError("run", repr(name), "the id of a run of the index")


@dataclass(frozen=True)
class _Seen:
    """What a file held when it was last read: its entry and rows, for as long as size and time stay."""

    stamp: tuple[int, int]
    entry: RunEntry
    rows: list[dict[str, Any]]


@dataclass
class _Found:
    """A record to be read, with what a plan says of it."""

    path: Path
    cell: dict[str, Any] | None
    required: bool


def read_index(paths: Sequence[str | Path], previous: Index | None = None) -> Index:
    """Return the index of studies, folders of records and records.

    Parameters
    ----------
    paths : sequence of path
        Study folders, folders with records in them or in their subfolders, and records.
    previous : Index, optional
        An earlier index of the same files: finished records that have not changed since are not read again.

    Returns
    -------
    Index

    Raises
    ------
    ArgumentError
        If there is no such path, or none is given.
    RecordError
        If a record that was named itself, or a plan, cannot be read.
    UnsupportedError
        If pandas is not installed (extra ``study``).
    """
    pandas = require("pandas")
    if isinstance(paths, str | Path) or not paths:
        raise ArgumentError("paths", repr(paths), "one or more folders or records in a list")
    found: dict[Path, _Found] = {}
    failed: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for path in map(Path, paths):
        for record in _find(path, failed, waiting):
            found.setdefault(record.path.resolve(), record)
    index = Index([], failed, waiting, None)
    old = {} if previous is None else previous._seen
    rows: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    for place, record in found.items():
        try:
            seen = _read(record, old.get(place))
        except FlowsolveError as error:
            if record.required:
                raise
            failed.append(_unreadable(record, error))
            continue
        index._seen[place] = seen
        entry, own = _with_unique_id(seen, taken)
        index.runs.append(entry)
        rows += own
    further = dict.fromkeys((name for row in rows for name in row if name not in COLUMNS), "float64")
    kinds = COLUMNS | further
    index.table = pandas.DataFrame(rows, columns=list(kinds)).astype(kinds)
    return index


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the plan of a study folder.

    Raises
    ------
    RecordError
        If there is none, or it is not one that this version reads.
    """
    path = folder / "plan.json"
    try:
        plan = json.loads(read_text(path))
    except OSError as error:
        raise RecordError(f"study: {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise RecordError(f"study: {path} is not JSON: {error}") from error
    if not isinstance(plan, dict) or plan.get("schema") != 1 or not isinstance(plan.get("cells"), list):
        raise RecordError(f"study: {path} is not a plan of schema 1, the one this version of flowsolve reads")
    return plan


def _find(path: Path, failed: list[dict[str, Any]], waiting: list[dict[str, Any]]) -> list[_Found]:
    """Return the records at a path; failures and cells that wait are added to the lists."""
    if path.is_file():
        return [_Found(path, None, True)]
    if not path.is_dir():
        raise ArgumentError("paths", f"{path}, which is {kind(path)}", "folders or records")
    if not (path / "plan.json").exists():
        files = [*path.glob("*.h5"), *path.glob("*/*.h5")]
        return [_Found(file, None, False) for file in sorted(files) if not _hidden(file, path)]
    causes = [_failure(file) for file in sorted((path / "failed").glob("*.json"))]
    failed += causes
    broken = {cause.get("cell"): cause for cause in causes}
    records = []
    for cell in read_plan(path)["cells"]:
        if cell["id"] in broken:
            broken[cell["id"]]["parameters"] = cell
        file = path / "runs" / f"{cell['id']}.h5"
        if file.exists():
            records.append(_Found(file, cell, False))
        elif cell["id"] not in broken:
            waiting.append(cell)
    return records


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _failure(file: Path) -> dict[str, Any]:
    try:
        cause = json.loads(read_text(file))
    except (OSError, ValueError):
        cause = None
    if isinstance(cause, dict):
        return cause
    return {"cell": file.stem, "error": "unknown", "message": f"{file} cannot be read", "time": None}


def _unreadable(record: _Found, error: Exception) -> dict[str, Any]:
    name = record.path.stem if record.cell is None else record.cell["id"]
    return {
        "cell": name,
        "error": type(error).__name__,
        "message": str(error),
        "time": None,
        "path": str(record.path),
        **({} if record.cell is None else {"parameters": record.cell}),
    }


def _read(found: _Found, seen: _Seen | None) -> _Seen:
    """Return entry and rows of a record, those of the last time where the file has not changed."""
    try:
        stat = found.path.stat()
    except OSError as error:
        raise RecordError(f"record: {found.path} cannot be read: {error.strerror or error}") from error
    stamp = (stat.st_mtime_ns, stat.st_size)
    # A run that is still written changes in place, and one that was killed becomes so without a change.
    if seen is not None and seen.stamp == stamp and seen.entry.status == "finished":
        return seen
    record = open_run(found.path)
    parameters = found.cell
    if parameters is None:
        parameters = parameters_of_record(found.path, record.config)
    entry = RunEntry(str(parameters["id"]), found.path, parameters, record.status)
    return _Seen(stamp, entry, table_rows(entry.id, parameters, record))


def _with_unique_id(seen: _Seen, taken: dict[str, int]) -> tuple[RunEntry, list[dict[str, Any]]]:
    """Return entry and rows under an id that no earlier run has: folders may hold files of one name."""
    entry = seen.entry
    taken[entry.id] = taken.get(entry.id, 0) + 1
    if taken[entry.id] == 1:
        return entry, seen.rows
    name = f"{entry.id}~{taken[entry.id]}"
    renamed = RunEntry(name, entry.path, {**entry.parameters, "id": name}, entry.status)
    return renamed, [{**row, "run": name} for row in seen.rows]
