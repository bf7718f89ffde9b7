"""Writing into the output folder: atomically, and with a full disk told apart from a crash."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from ...errors import ArgumentError
from ...files import write_atomically


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says what to do.

    Parameters
    ----------
    folder : path
        Where the block writes.

    Raises
    ------
    ArgumentError
        In place of an OSError from the block.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else str(error.strerror or error)
        accepted = "a folder with room to write; files written before are as they were: go on with --resume"
        raise ArgumentError("out", f"{folder} ({reason})", accepted) from error


def save(path: Path, data: bytes) -> None:
    """Write a file in one step, its folder too where it is not there yet.

    Parameters
    ----------
    path : path
        The file; replaced if it exists.
    data : bytes
        All it shall hold.

    Raises
    ------
    ArgumentError
        If it cannot be written, for example because the disk is full.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data, "out")
