"""Files that a record is written to before it gets its name, and those that killed writers left behind.

Such a file is named after the process that writes it, so that no two writers share one and a later run can
tell whether its writer is still there.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from pathlib import Path

from ..files import open_regular

try:
    import fcntl
except ImportError:  # pragma: no cover - no such locks on Windows
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"\.(?P<host>.*)-(?P<pid>[0-9]{1,10})-[0-9a-f]{8}\.part")


def part_beside(path: Path) -> Path:
    """Return a new name in the folder of a record for the file it is written to first."""
    return path.with_name(f".{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.part")


def remove_abandoned(folder: Path) -> None:
    """Remove the parts in a folder whose writers were killed; those of living ones stay.

    A writer on another machine cannot be asked, so that its parts stay too. That a process of the number is
    gone does not suffice, since containers that share a folder number their processes apart: whoever writes
    an HDF5 file also holds its lock.
    """
    for part in folder.glob(".*.part"):
        found = _NAME.fullmatch(part.name)
        if found is None or found["host"] != _host() or not process_is_gone(int(found["pid"])):
            continue
        try:
            if part.is_file() and not part.is_symlink() and not _locked(part):
                part.unlink()
        except OSError:
            # Another run was faster, or it may not be removed: it is in nobody's way.
            continue


def process_is_gone(pid: int) -> bool:
    """Return whether no process of this machine has a number; numbers that none can have are gone."""
    if pid < 1:
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _locked(part: Path) -> bool:
    """Return whether another open file, of this process or another, holds the lock of a file."""
    if fcntl is None:  # pragma: no cover
        return False
    with open_regular(part) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _host() -> str:
    """Return the machine's name as far as a short file name can have it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", socket.gethostname())[:64]
