"""``KEY=VALUE`` pairs of the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of ``KEY=VALUE`` pairs, values read as JSON where they are JSON.

    Numbers apart by commas are a list, so that ``dim_shape=3,64,64`` works.

    Raises
    ------
    ArgumentError
        If a pair has no ``=`` or a key is given twice.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key.isidentifier():
            raise ArgumentError("option", repr(pair), "KEY=VALUE, such as dim_shape=3,8,8 or lr=0.02")
        if key in options:
            raise ArgumentError("option", f"{key} twice", "each option once")
        options[key] = _value(text)
    return options


def _value(text: str) -> Any:
    for candidate in (text, f"[{text}]"):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return text
