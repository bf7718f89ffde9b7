"""From the text of a study file to a `Study`, with every mistake on the way, each at its line.

What is wrong is taken out and the rest read again, so that one pass over a file also finds what only a file
that is otherwise right can show: combinations that have no meaning.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import ArgumentError
from ..files import read_text
from .config import PARTS, Budget, Cells, Compute, Study, TaskTable
from .positions import Place, key_lines, line_of
from .problems import Problem, StudyFileError
from .toml import tomllib

#: Tables whose names the cells refer to.
TABLES = ("tasks", "solvers")

#: Rounds of taking out what is wrong: each leaves less, and what it leaves may lack what it refers to.
ROUNDS = 8


@dataclass
class StudyFile:
    """A study file as it was read.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    text : str
        Its content.
    study : Study
        What it says; where there are problems, as much of it as makes sense.
    lines : dict of tuple to int
        Lines of its keys; see `flowsolve.studies.positions`.
    problems : list of Problem
        What is wrong so far.
    """

    path: Path
    text: str
    study: Study
    lines: dict[Place, int]
    problems: list[Problem] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """Return the line of a place of the file."""
        return line_of(self.lines, place)

    def report(self, place: Place, message: str) -> None:
        """Add a problem at a place of the file."""
        self.problems.append(Problem(self.line(place), message))

    def check(self) -> None:
        """Raise `StudyFileError` with all that was reported."""
        if self.problems:
            raise StudyFileError(self.path, self.problems)


def read_study(path: str | Path) -> StudyFile:
    """Return a study file, with its mistakes listed where the rest still makes sense.

    Parameters
    ----------
    path : path
        The file.

    Raises
    ------
    ArgumentError
        If it cannot be read.
    StudyFileError
        If it is no TOML, or too little is left without its mistakes to go on.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = "not a text in UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror or error
        raise ArgumentError("study", f"{path} ({reason})", "a study file; `study new` writes one") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise StudyFileError(path, [Problem(line, f"not TOML: {error}")]) from None
    lines = key_lines(text)
    study, problems = _validate(raw, lines)
    if study is None:
        raise StudyFileError(path, problems)
    return StudyFile(path, text, study, lines, problems)


def _validate(raw: dict[str, Any], lines: dict[Place, int]) -> tuple[Study | None, list[Problem]]:
    """Return the study, of what is right, and the problems; None where nothing can be made of it.

    What is taken out of lists is taken out of `lines` too.
    """
    problems: list[Problem] = []
    raw = copy.deepcopy(raw)
    names = {kind: list(raw[kind]) for kind in TABLES if isinstance(raw.get(kind), dict)}
    for attempt in range(ROUNDS):
        try:
            return Study.model_validate(raw, context=names, strict=True), problems
        except ValidationError as error:
            wrong = _errors(error)
        if attempt == 0:
            problems = [Problem(line_of(lines, place), _say(place, text)) for place, text in wrong]
        # From the last item of a list to the first, so that the places of the others stay right.
        for place, _ in sorted(wrong, key=lambda w: [-p if isinstance(p, int) else 0 for p in w[0]]):
            _take_out(raw, place, lines)
        # What refers to a table that was taken out goes too, in the next round, unsaid.
        names = {kind: [name for name in known if name in raw.get(kind, {})] for kind, known in names.items()}
    return None, problems


def _errors(error: ValidationError) -> list[tuple[Place, str]]:
    """Return place and text of each error."""
    found: list[tuple[Place, str]] = []
    for one in error.errors(include_url=False):
        place = tuple(one["loc"])
        if one["type"] == PARTS:
            found += [((*place, part) if part else place, said) for part, said in one["ctx"][PARTS].items()]
        elif one["type"] == "extra_forbidden":
            found.append((place, f"unknown key; accepted: {', '.join(_keys(place))}"))
        elif one["type"] == "missing":
            found.append((place, "is missing"))
        else:
            text = one["msg"].removeprefix("Value error, ")
            found.append((place, text if text.startswith("got ") else f"{text}, got {_short(one['input'])}"))
    return found


def _keys(place: Place) -> list[str]:
    """Return the keys that the table around a place may have."""
    models: dict[str | int, type[BaseModel]] = {
        "budget": Budget,
        "compute": Compute,
        "tasks": TaskTable,
        "cells": Cells,
    }
    return list((Study if len(place) == 1 else models.get(place[0], Study)).model_fields)


def _say(place: Place, text: str) -> str:
    """Return the message of an error with the keys that lead to it before it."""
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")
    return f"{where}: {text}" if where else text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _take_out(raw: dict[str, Any], place: Place, lines: dict[Place, int]) -> None:
    """Remove what is wrong, and with it what would mean something else without it."""
    first, rest = place[0], place[1:]
    value = raw.get(str(first))
    if first == "cells" and isinstance(value, list) and rest:
        _take_out_of_cells(value, rest, lines)
    elif isinstance(value, dict) and rest and rest[0] in value:
        # Of a task or a solver all of it: with other options it would be another one.
        del value[str(rest[0])]
    else:
        raw.pop(str(first), None)


def _take_out_of_cells(cells: list[Any], place: Place, lines: dict[Place, int]) -> None:
    """Remove an unknown key of a table of cells, one item of a list, or else the table."""
    index, keys = int(place[0]), place[1:]
    if index >= len(cells):
        return
    table = cells[index]
    if keys and isinstance(table, dict) and keys[0] in table:
        value = table[str(keys[0])]
        if keys[0] not in Cells.model_fields:
            del table[str(keys[0])]
            return
        if len(keys) > 1 and isinstance(value, list) and len(value) > 1:
            _remove(value, int(keys[1]), ("cells", index, keys[0]), lines)
            return
    _remove(cells, index, ("cells",), lines)


def _remove(items: list[Any], index: int, place: Place, lines: dict[Place, int]) -> None:
    """Remove an item of the list at a place, and its lines; those of later items follow."""
    if index >= len(items):
        return
    del items[index]
    depth, moved = len(place), {}
    for key in [key for key in lines if key[:depth] == place and len(key) > depth]:
        line, number = lines.pop(key), int(key[depth])
        if number != index:
            moved[(*place, number - (number > index), *key[depth + 1 :])] = line
    lines.update(moved)
