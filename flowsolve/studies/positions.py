"""On which line of a TOML file each key and each list item stands: what error messages point to.

`tomllib` keeps no positions, so the text is walked once more. It is known to be valid TOML by then, which
leaves little to tell apart: keys, strings, brackets and everything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from .toml import tomllib

#: Keys and indices that lead to a value, outermost first.
Place: TypeAlias = tuple["str | int", ...]

_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
_SCALAR = re.compile(r"[^\s,\]}#][^,\]}#\n]*")


def key_lines(text: str) -> dict[Place, int]:
    """Return the line, from 1, of every table, key and list item of a valid TOML text.

    Parameters
    ----------
    text : str
        The text; `tomllib` must have taken it.

    Returns
    -------
    dict of tuple to int
        For example ``("cells", 0, "solver", 1)`` → the line of the second solver of the first table.
    """
    return _Scanner(text).scan()


def line_of(lines: dict[Place, int], place: Sequence[str | int]) -> int:
    """Return the line of a place, or of the nearest thing around it that has one; 1 if nothing has."""
    for length in range(len(place), 0, -1):
        line = lines.get(tuple(place[:length]))
        if line is not None:
            return line
    return 1


class _Scanner:
    """A walk through the text; `at` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.lines: dict[Place, int] = {}
        #: Number of tables of each array of tables so far.
        self.tables: dict[Place, int] = {}
        self._counted = (0, 1)

    def scan(self) -> dict[Place, int]:
        table: Place = ()
        self._skip_space()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip_space()
        return self.lines

    def _header(self) -> Place:
        """Read ``[a.b]`` or ``[[a.b]]`` and return the place of the table that begins."""
        line, many = self._line(), self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        self._skip_space()
        keys = self._key()
        self._skip_space()
        self.at += 2 if many else 1
        place: Place = ()
        for depth, key in enumerate(keys):
            place = (*place, key)
            self.lines.setdefault(place, line)
            if many and depth == len(keys) - 1:
                self.tables[place] = self.tables.get(place, 0) + 1
            if place in self.tables:
                # Inside an array of tables a name stands for its last table.
                place = (*place, self.tables[place] - 1)
                self.lines.setdefault(place, line)
        return place

    def _pair(self, table: Place) -> None:
        """Read ``key = value``."""
        line, place = self._line(), table
        for key in self._key():
            place = (*place, key)
            self.lines.setdefault(place, line)
        self._skip_space()
        self.at += 1  # the sign of equality
        self._skip_space()
        self._value(place)

    def _value(self, place: Place) -> None:
        first = self.text[self.at]
        if first == "[":
            self._sequence(place, "]")
        elif first == "{":
            self._sequence(place, "}")
        else:
            found = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
            assert found is not None
            self.at = found.end()

    def _sequence(self, place: Place, close: str) -> None:
        """Read a list, or a table on one line."""
        self.at += 1
        index = 0
        self._skip_space()
        while self.text[self.at] != close:
            if close == "]":
                self.lines[(*place, index)] = self._line()
                self._value((*place, index))
            else:
                self._pair(place)
            index += 1
            self._skip_space()
            if self.text[self.at] == ",":
                self.at += 1
                self._skip_space()
        self.at += 1

    def _key(self) -> list[str]:
        """Read a key, dotted or not, and return its parts."""
        parts = []
        while True:
            quoted = _STRING.match(self.text, self.at)
            found = quoted or _BARE.match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            parts.append(str(tomllib.loads(f"k = {found[0]}")["k"]) if quoted else found[0])
            self._skip_space()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1
            self._skip_space()

    def _skip_space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _line(self) -> int:
        """Return the line that `at` is on, counting on from where it was last asked."""
        start, line = self._counted
        line += self.text.count("\n", start, self.at)
        self._counted = (self.at, line)
        return line
