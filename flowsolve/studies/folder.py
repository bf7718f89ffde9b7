"""The folder of a study: its file, its plan, a record for each cell, and what failed.

Everything that is known of a study stands here, so that a run of it can end at any moment and go on later.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FlowsolveError
from ..files import read_text, target, write_atomically
from ..recording import open_run
from .planning import SCHEMA, Plan

try:
    import fcntl
except ImportError:  # pragma: no cover - no such locks on Windows
    fcntl = None  # type: ignore[assignment]


class StudyFolder:
    """A folder that a study is run in.

    Parameters
    ----------
    path : path
        The folder; made when the study begins.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def study(self) -> Path:
        """A copy of the study file."""
        return self.path / "study.toml"

    @property
    def plan(self) -> Path:
        """The plan, JSON."""
        return self.path / "plan.json"

    def record(self, cell: str) -> Path:
        """Return the record of a cell."""
        return self.path / "runs" / f"{cell}.h5"

    def failure(self, cell: str) -> Path:
        """Return the file that says why a cell failed."""
        return self.path / "failed" / f"{cell}.json"

    def check(self, plan: Plan) -> None:
        """Refuse a folder that is not for this study.

        Raises
        ------
        ArgumentError
            If it is a file, holds another study, or something that is no study.
        """
        accepted = "a new or empty folder, or that of this study"
        if self.path.exists() and not self.path.is_dir():
            raise ArgumentError("out", f"{self.path}, which is a file", accepted)
        if not self.plan.exists():
            others = [p.name for p in self.path.iterdir() if p.name != LOCK] if self.path.exists() else []
            if others:
                given = (
                    f"{self.path}, which holds something that is no study ({', '.join(sorted(others)[:3])})"
                )
                raise ArgumentError("out", given, accepted)
            return
        held = self._held()
        if held.get("fingerprint") != plan.fingerprint:
            theirs = {str(cell.get("id")) for cell in held.get("cells", []) if isinstance(cell, dict)}
            common = sum(cell.id in theirs for cell in plan.cells)
            given = (
                f"{self.path}, which holds another study ({held.get('title') or 'without a title'}: "
                f"{len(theirs)} cells, of which {common} are in this one)"
            )
            raise ArgumentError("out", given, accepted)

    def begin(self, plan: Plan) -> None:
        """Make the folder and write study file and plan.

        Raises
        ------
        ArgumentError
            If it cannot be written to.
        """
        try:
            for folder in ("runs", "failed"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            write_atomically(self.study, plan.text.encode(), "out")
            text = json.dumps(plan.to_dict(), indent=1, allow_nan=False)
            write_atomically(self.plan, f"{text}\n".encode(), "out")
        except OSError as error:
            given = f"{self.path} ({error.strerror or error})"
            raise ArgumentError("out", given, "a folder that can be written to") from None

    def finished(self, cell: str) -> bool:
        """Return whether a cell has a record of a finished run."""
        record = self.record(cell)
        if not record.exists():
            return False
        try:
            return open_run(record).status == "finished"
        except FlowsolveError:
            return False

    def failed(self) -> dict[str, dict[str, Any]]:
        """Return what is known of the cells that failed, by their ids."""
        documents = {}
        for path in sorted((self.path / "failed").glob("*.json")):
            try:
                document = json.loads(read_text(path))
            except (OSError, ValueError):
                continue
            if isinstance(document, dict) and "cell" in document:
                documents[str(document["cell"])] = document
        return documents

    def write_failure(self, cell: str, error: str, message: str) -> dict[str, Any]:
        """Write down why a cell failed, and return it."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        document = {"cell": cell, "error": error, "message": message, "time": now}
        write_atomically(self.failure(cell), f"{json.dumps(document, indent=1)}\n".encode())
        return document

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that no second process runs the study at the same time.

        Raises
        ------
        ArgumentError
            If another process holds it, or it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = target(self.path / LOCK, "out").open("a+", encoding="utf-8")
        except OSError as error:
            given = f"{self.path} ({error.strerror or error})"
            raise ArgumentError("out", given, "a folder that can be written to") from None
        with file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    file.seek(0)
                    given = f"{self.path}, in which {file.read().strip() or 'another process'} is running"
                    raise ArgumentError("out", given, "a folder in which no study is running") from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def _held(self) -> dict[str, Any]:
        """Return the plan that the folder has."""
        accepted = f"the plan of a study, of schema {SCHEMA}"
        try:
            held = json.loads(read_text(self.plan))
        except (OSError, ValueError) as error:
            raise ArgumentError("out", f"{self.plan}, which cannot be read ({error})", accepted) from None
        if not isinstance(held, dict) or held.get("schema") != SCHEMA:
            schema = held.get("schema") if isinstance(held, dict) else None
            raise ArgumentError("out", f"{self.plan}, which has schema {schema}", accepted)
        return held


#: Name of the file that a running study holds.
LOCK = ".lock"
