"""Files that are there whole, or as they were before; and only regular files, read or written.

A name that a user gives may be a link, a named pipe or a device. Links are followed, so that what they
point to is written and they stay. Anything else that is no regular file is refused without opening it:
reading one may never end, and replacing one would take it from all other programs.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import ArgumentError

MAX_TEXT = 2**26
"""Largest text file that is read, in bytes."""

MADE_UP = 2**20
"""Most bytes that are read of a file that does not say its size."""


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular file, or a link to one, for reading bytes.

    Raises
    ------
    OSError
        If it is not there, is no regular file (it is not opened then), or cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"it is {kind(path)}, not a regular file")
    # A pipe that has taken the file's place since would otherwise wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a regular file")
        yield file


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    path : path
        The file, or a link to it.
    limit : int
        Most bytes that are read.

    Raises
    ------
    OSError
        If it is not there, is no regular file (it is not opened then), is larger than `limit`, or
        cannot be read.
    """
    with open_regular(path) as file:
        now = os.fstat(file.fileno())
        # Files that the system makes up say that they are empty: of those no more than a little is read.
        size = now.st_size or min(limit, MADE_UP) + 1
        if now.st_size > limit:
            raise OSError(f"larger than {limit} bytes")
        try:
            data = file.read(size)
        except MemoryError:
            raise OSError(f"its {size} bytes do not fit in memory") from None
    if len(data) > max(now.st_size, min(limit, MADE_UP)):
        raise OSError("it has no end that could be known before")
    return data


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a regular file in UTF-8.

    Raises
    ------
    OSError
        As for `read_regular`.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    return read_regular(path, MAX_TEXT).decode("utf-8").replace("\r\n", "\n")


def target(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """Return the file that writing to `path` shall write: itself, or where a link leads.

    Parameters
    ----------
    path : path
        A file that may exist.
    argument : str
        What to call it in errors.

    Raises
    ------
    ArgumentError
        If there is something that is no regular file, or a link that leads nowhere.
    """
    path = Path(path)
    accepted = "a regular file, new or there"
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    if place.is_symlink():
        raise ArgumentError(argument, f"{path}, a link that leads to itself", accepted)
    try:
        mode = os.stat(place).st_mode
    except OSError:
        # Not there, or not to be looked at: writing says which.
        return place
    if not stat.S_ISREG(mode):
        raise ArgumentError(argument, f"{path}, which is {kind(path)}", accepted)
    return place


def kind(path: str | os.PathLike[str]) -> str:
    """Return what there is at a path, in words."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "not there"
    for test, words in (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if test(mode):
            return words
    return "no regular file"


def write_atomically(path: str | os.PathLike[str], data: bytes, argument: str = "path") -> None:
    """Write a file in one step: whoever reads it sees the old content or the new, never a part.

    Parameters
    ----------
    path : path
        The file; replaced if it exists. Of a link, the file it leads to. Its folder must exist.
    data : bytes
        All it shall hold.
    argument : str
        What to call the file in errors.

    Raises
    ------
    ArgumentError
        If there is something that is no regular file.
    OSError
        If it cannot be written; the file is as it was.
    """
    place = target(path, argument)
    # The name is short whatever that of the file is: it must not be too long for the file system.
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".flowsolve-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read, which is not what a save means.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
