"""What the record of a method keeps of the stages before the one that runs.

A method is one record. Its trace goes on from stage to stage with a column ``stage``; iterations, time and
counts are those of the method so far. Everything else in the file belongs to the stage that runs, so that a
checkpoint, and what is rebuilt to go on from it, are those of a single run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from ..tally import COUNTED

STAGES = "stages"
"""Group with one group for each stage that has ended."""

STAGE = "stage"
"""Column of the trace: which stage an iteration belongs to, from 0."""

IDENTITY = ("run_id", "created")
"""Attributes of the file that every stage takes over."""

SUMMED = ("seconds", *COUNTED)
"""Columns that go on from one stage to the next."""


@dataclass(frozen=True)
class EarlierStages:
    """The stages that have ended.

    Attributes
    ----------
    ended : tuple of EndedStage
        One for each, in order.
    identity : dict of str to str
        ``run_id`` and ``created`` of the record, which do not change from stage to stage.
    """

    ended: tuple[EndedStage, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)

    def after(self, stage: EndedStage, identity: Mapping[str, str]) -> EarlierStages:
        """Return the same with one more stage."""
        return EarlierStages((*self.ended, stage), identity)

    @property
    def stage(self) -> int:
        """Index of the stage that runs."""
        return len(self.ended)

    @property
    def offset(self) -> int:
        """What to add to an iteration of the stage that runs; the start of a stage has a row of its own."""
        return sum(len(stage.trace["value"]) for stage in self.ended)

    def total(self, column: str) -> np.ndarray | float:
        """Return what a column of `SUMMED` came to in the stages that have ended, shape (N,), or 0."""
        return sum((stage.trace[column][-1] for stage in self.ended), 0.0)

    def globally(self, row: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a row of the stage that runs as the method's trace has it."""
        out = {name: value + self._added(name, value) for name, value in row.items()}
        return out | {STAGE: np.full(len(row["value"]), self.stage, dtype=np.int64)}

    def _added(self, column: str, value: np.ndarray) -> Any:
        return np.asarray(self.total(column)).astype(value.dtype) if column in SUMMED else value.dtype.type(0)

    def locally(self, trace: Mapping[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
        """Return the rows of the stage that runs from a method's trace, as the stage's own run has them."""
        mine = trace[STAGE][:, 0] == self.stage
        rows = {name: column[mine] for name, column in trace.items() if name not in (STAGE, "iteration")}
        return {name: [row - self._added(name, row) for row in column] for name, column in rows.items()}

    def joined(self, present: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the method's trace, the rows of the ended stages before those of the present one."""
        parts = [stage.trace for stage in self.ended] + [dict(present)]
        whole = []
        for k, part in enumerate(parts):
            before = EarlierStages(self.ended[:k])
            rows = {name: column + before._added(name, column) for name, column in part.items()}
            whole.append(rows | {STAGE: np.full(part["value"].shape, k, dtype=np.int64)})
        names = list(dict.fromkeys(name for part in whole for name in part))
        return {name: np.concatenate([_column(part, name) for part in whole]) for name in names}

    def write(self, file: h5py.File) -> None:
        """Write the group of each ended stage."""
        for k, stage in enumerate(self.ended):
            group = file.create_group(f"{STAGES}/{k}")
            group.attrs["json"] = json.dumps(stage.config)
            group["x"] = stage.x
            group["status"] = np.array(stage.status, dtype="S24")
            group["iterations"] = stage.iterations


@dataclass(frozen=True)
class EndedStage:
    """A stage that has ended.

    Attributes
    ----------
    config : dict
        The configuration its run can be repeated from.
    trace : dict of str to numpy.ndarray, shape (iterations + 1, N)
        Its own trace.
    x : numpy.ndarray, shape (N, C, H, W)
        Images that it handed on.
    status : list of str
        How each image ended.
    iterations : numpy.ndarray, shape (N,)
        Iterations that each image took part in.
    """

    config: dict[str, Any]
    trace: dict[str, np.ndarray]
    x: np.ndarray
    status: list[str]
    iterations: np.ndarray


def read_earlier(file: h5py.File, trace: Mapping[str, np.ndarray]) -> EarlierStages:
    """Return the stages that had ended when a record was written.

    Parameters
    ----------
    file : h5py.File
        The record.
    trace : mapping of str to numpy.ndarray
        Its trace, as `RunRecord.trace`.
    """
    identity = {name: str(file.attrs[name]) for name in IDENTITY}
    earlier = EarlierStages(identity=identity)
    for k in range(len(file[STAGES]) if STAGES in file else 0):
        group = file[f"{STAGES}/{k}"]
        rows = {name: np.stack(column) for name, column in earlier.locally(trace).items()}
        status = [text.decode() for text in group["status"][()]]
        config = json.loads(group.attrs["json"])
        ended = EndedStage(config, rows, group["x"][()], status, group["iterations"][()])
        earlier = earlier.after(ended, identity)
    return earlier


def values_of_last_stage(trace: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return F along a run, shape (K, N); NaN in stages before the last, which minimised other functions.

    Parameters
    ----------
    trace : mapping of str to numpy.ndarray
        The trace of a run or of a method, with at least one row.
    """
    value: np.ndarray = trace["value"]
    if STAGE not in trace:
        return value
    return np.where(trace[STAGE] == trace[STAGE].max(), value, np.nan)


def _column(part: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return part[name] if name in part else np.full(part["value"].shape, np.nan)
