"""The method that restores each row of the tables best, found on validation faces and frozen in a file.

``configs/faces.json`` holds for each row of :mod:`.paper_rows` the stages that :mod:`.tune_faces` found
best; :mod:`.paper_table` only reads them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowsolve.files import write_atomically
from flowsolve.methods import Method

FROZEN = Path(__file__).parent / "configs" / "faces.json"
"""Methods that the tables use."""


def frozen(path: Path = FROZEN) -> dict[str, dict[str, Any]]:
    """Return the frozen file: for each row its ``stages`` and how they did on validation images."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def freeze(row: str, entry: dict[str, Any], path: Path = FROZEN) -> None:
    """Put the entry of a row into the frozen file; other rows stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = dict(sorted({**frozen(path), row: entry}.items()))
    write_atomically(path, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())


def frozen_method(row: str, path: Path = FROZEN) -> Method | None:
    """Return the frozen method of a row, or None where there is none yet."""
    entry = frozen(path).get(row)
    return None if entry is None else Method.from_json(entry["stages"], name="frozen")


def in_a_line(method: Method) -> str:
    """Return the stages of a method in words, in one line."""
    return ", then ".join(method.in_words())
