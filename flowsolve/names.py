"""Names of files to be written, made of names that somebody else chose.

Names that differ may be one and the same once characters have been replaced, letters made small or what is
too long cut off; so they are told apart at the end, when nothing is changed any more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 120
"""Most bytes of a name in UTF-8: with a suffix, below what any usual file system takes."""

#: Names that Windows keeps for devices, whatever the suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def file_names(names: Sequence[str]) -> list[str]:
    """Return a name for each, without characters that files should not have, and no two alike.

    Names that can stay as they are do, the first of those that are alike; the others get a number.

    Parameters
    ----------
    names : sequence of str
        Names without suffix.

    Returns
    -------
    list of str
        Names of one byte at least and `LONGEST` at most, which also differ where the file system does not
        tell capitals from small letters, or composed letters from others.
    """
    safe = [safe_name(name) for name in names]
    result: list[str | None] = [None] * len(names)
    taken: set[str] = set()
    for i, name in enumerate(safe):
        if name == names[i] and _key(name) not in taken:
            taken.add(_key(name))
            result[i] = name
    next_number: dict[str, int] = {}
    for i, name in enumerate(safe):
        if result[i] is not None:
            continue
        unique, number = name, next_number.get(_key(name), 2)
        while _key(unique) in taken:
            ending = f"-{number}"
            unique, number = _cut(name, LONGEST - len(ending)) + ending, number + 1
        next_number[_key(name)] = number
        taken.add(_key(unique))
        result[i] = unique
    return [name for name in result if name is not None]


def safe_name(name: str) -> str:
    """Return a name that any usual file system takes: letters, digits, ``_``, ``-``, ``.`` and blanks."""
    name = re.sub(r"[^\w.\- ]", "_", name)
    # A name that begins with a dot would be hidden, and one with blanks around it is easily mistaken.
    name = _cut(name.strip(" "), LONGEST)
    name = re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), name)
    return f"_{name}"[:LONGEST] if not name or _DEVICES.match(name) else name


def _cut(name: str, length: int) -> str:
    """Return as much of a name as fits into so many bytes, whole characters only."""
    return name.encode("utf-8")[:length].decode("utf-8", errors="ignore").rstrip(" ")


def _key(name: str) -> str:
    """Return what is equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
