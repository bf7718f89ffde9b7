"""Options that a task declares: typed fields of a dataclass, each with a default and a line of help.

From the declaration follow the check of values from Python and study files, the reading of values from the
command line, and the table of ``flowsolve list tasks NAME``.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..numbers import as_count, to_float

Reader = Callable[[str | Path, Mapping[str, Any]], np.ndarray]
"""Reads the file of an option; also given the other options, some of which may say how."""

REQUIRED = dataclasses.MISSING
"""Default of an option that must be given."""

_META = "flowsolve.option"


@dataclass(frozen=True)
class Option:
    """What is known of an option.

    Attributes
    ----------
    name : str
        Its name, a Python identifier.
    type : type
        ``int``, ``float``, ``bool``, ``str`` or ``numpy.ndarray``; others are taken as they are.
    default : object
        Its default, or `REQUIRED`.
    help : str
        One line.
    choices : tuple of str
        The values there are; any where there are none.
    least : int, optional
        Least value of an integer.
    read : callable, optional
        Reads the array from the file whose name stands for it on the command line and in study files.
    read_with : tuple of str
        The other options that `read` looks at.
    """

    name: str
    type: Any
    default: Any
    help: str = ""
    choices: tuple[str, ...] = ()
    least: int | None = None
    read: Reader | None = None
    read_with: tuple[str, ...] = ()

    @property
    def argument(self) -> str:
        """How messages call it: as on the command line."""
        return self.name.replace("_", "-")

    def check(self, value: Any) -> Any:
        """Return a value as the task takes it.

        Raises
        ------
        ArgumentError
            If it is of another type, or none of the choices.
        """
        if value is None and self.default is None:
            return None
        if self.choices and value not in self.choices:
            raise ArgumentError(self.argument, repr(value), ", ".join(self.choices))
        if self.type is bool and not isinstance(value, bool):
            raise ArgumentError(self.argument, repr(value), "true or false")
        if self.type is int:
            return self._integer(value)
        if self.type is float:
            return to_float(value, self.argument, "a finite number")
        if self.type is str and not isinstance(value, str):
            raise ArgumentError(self.argument, repr(value), "text")
        return np.asarray(value, dtype=np.float64) if self.type is np.ndarray else value

    def _integer(self, value: Any) -> int:
        if self.least is not None:
            return as_count(value, self.argument, least=self.least)
        number = to_float(value, self.argument, "an integer")
        if number != int(number):
            raise ArgumentError(self.argument, repr(value), "an integer")
        return int(number)

    def parse(self, text: str, options: Mapping[str, Any]) -> Any:
        """Return the value of a text of the command line: a file is read, a number converted.

        Raises
        ------
        ArgumentError
            If it stands for no value.
        """
        if self.read is not None:
            return self.read(text, options)
        return self.check(text if self.type is str else _json(text))

    def in_words(self) -> str:
        """Return type and default in a few words."""
        kind = {np.ndarray: "file", int: "integer", float: "number", bool: "true or false", str: "text"}
        words = " | ".join(self.choices) or kind.get(self.type, str(self.type))
        default = (
            "must be given" if self.default is REQUIRED else "" if self.default is None else f"{self.default}"
        )
        return f"{words}; {default}" if default else words


def option(
    default: Any = REQUIRED,
    help: str = "",
    *,
    choices: tuple[str, ...] = (),
    least: int | None = None,
    read: Reader | None = None,
    read_with: tuple[str, ...] = (),
) -> Any:
    """Return a field of a task's dataclass; parameters are the attributes of `Option`."""
    about = {"help": help, "choices": choices, "least": least, "read": read, "read_with": read_with}
    return dataclasses.field(default=default, metadata={_META: about})


def options_of(kind: type) -> dict[str, Option]:
    """Return the options of a dataclass by name, in the order of its fields."""
    if not dataclasses.is_dataclass(kind):
        return {}
    hints = typing.get_type_hints(kind)
    return {
        field.name: Option(
            field.name, _plain(hints[field.name]), field.default, **field.metadata.get(_META, {})
        )
        for field in dataclasses.fields(kind)
        if field.init
    }


def _plain(hint: Any) -> Any:
    """Return a type without ``None`` beside it."""
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    return parts[0] if len(parts) == 1 and type(None) in typing.get_args(hint) else hint


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
