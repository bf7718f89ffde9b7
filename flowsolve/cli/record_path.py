"""The record that a user means: a file, or the folder that a run was written to."""

from __future__ import annotations

from pathlib import Path

from ..errors import ArgumentError
from .output import RECORD


def records_in(path: Path) -> list[Path]:
    """Return the records of a path: itself, or those of the output folder that it is.

    Raises
    ------
    ArgumentError
        If it is a folder without a record.
    """
    if not path.is_dir():
        return [path]
    whole = path / RECORD
    found = [whole] if whole.is_file() else sorted(path.glob("run-*.h5"))
    if not found:
        raise ArgumentError("record", f"{path}, a folder without {RECORD}", "a record or an output folder")
    return found


def the_record(path: Path) -> Path:
    """Return the one record of a path.

    Raises
    ------
    ArgumentError
        If it is a folder of none, or of several, as of images of several sizes.
    """
    found = records_in(path)
    if len(found) > 1:
        names = ", ".join(record.name for record in found)
        raise ArgumentError("record", f"{path}, a folder of {len(found)} records", f"one of {names}")
    return found[0]
