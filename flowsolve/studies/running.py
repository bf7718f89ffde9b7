"""Run a study: finished cells are passed over, begun ones go on, failures are told while the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .. import interrupts
from .board import Board
from .cell import Outcome, Work, run_cell
from .folder import StudyFolder
from .inputs import Inputs, Paths
from .planning import Plan


class Executor(Protocol):
    """What carries out cells: this process, or a cluster."""

    #: How many cells it runs at a time.
    workers: int

    def carry_out(
        self, works: list[Work], inputs: Paths | Inputs, began: Callable[[str], None]
    ) -> Iterator[Outcome]:
        """Run cells and return how each ended, in the order in which they end.

        Parameters
        ----------
        works : list of Work
            The cells.
        inputs : Paths or Inputs
            What they compute on.
        began : callable
            To be called with the id of each cell that begins.
        """


class Inline:
    """Runs the cells one after the other in this process."""

    workers = 1

    def carry_out(
        self, works: list[Work], inputs: Paths | Inputs, began: Callable[[str], None]
    ) -> Iterator[Outcome]:
        """Run cells; see `Executor`."""
        for work in works:
            began(work.cell.id)
            yield run_cell(work, inputs)


@dataclass
class Summary:
    """How a study stands after it was run.

    Attributes
    ----------
    cells : int
        Number of cells.
    skipped : int
        Cells that were finished already.
    resumed : list of str
        Ids of cells that went on from their records.
    finished : list of str
        Ids of cells that were finished this time.
    failures : list of dict
        The documents of the cells that have failed, now or before.
    """

    cells: int
    skipped: int = 0
    resumed: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON has it."""
        return {
            "cells": self.cells,
            "skipped": self.skipped,
            "finished": len(self.finished),
            "resumed": len(self.resumed),
            "failed": len(self.failures),
            "failures": self.failures,
        }


def run_study(
    plan: Plan,
    out: str | Path,
    *,
    executor: Executor | None = None,
    transfer: str = "path",
    retry_failed: bool = False,
    board: Board | None = None,
) -> Summary:
    """Run the cells of a plan that are not finished.

    Parameters
    ----------
    plan : Plan
        The study.
    out : path
        Its folder; a new one, or that of this study.
    executor : Executor, optional
        What carries the cells out; by default this process.
    transfer : {"path", "array"}
        Whether workers read the images themselves, or get them with the work.
    retry_failed : bool
        Whether cells that failed before are run again.
    board : Board, optional
        Where progress is shown.

    Returns
    -------
    Summary

    Raises
    ------
    ArgumentError
        If the folder holds something else, cannot be written to, or is in use by another process.
    """
    executor = Inline() if executor is None else executor
    folder, board = StudyFolder(out), Board(silent=True) if board is None else board
    folder.check(plan)
    with folder.locked():
        folder.begin(plan)
        failed = folder.failed()
        summary = Summary(len(plan.cells))
        works = []
        for cell in plan.cells:
            if folder.finished(cell.id):
                summary.skipped += 1
            elif cell.id in failed and not retry_failed:
                summary.failures.append(failed[cell.id])
            else:
                source = plan.priors[cell.prior]
                works.append(Work(cell, str(folder.path.absolute()), source, plan.compute))
        inputs = plan.inputs if transfer == "array" else plan.paths
        with board.over(len(plan.cells), summary.skipped, len(summary.failures), executor.workers):
            for outcome in executor.carry_out(works, inputs, board.began):
                interrupts.check()
                _note(summary, outcome)
                board.ended(outcome)
    return summary


def _note(summary: Summary, outcome: Outcome) -> None:
    if outcome.failure is not None:
        summary.failures.append(outcome.failure)
        return
    summary.finished.append(outcome.cell)
    if outcome.resumed:
        summary.resumed.append(outcome.cell)
