"""Numbers as people and JSON read them: infinite and undefined ones in words."""

from __future__ import annotations

import math
from typing import Any


def number(value: Any, form: str = ".2f") -> str:
    """Return a number in a format, or ``infinite``, ``-infinite``, ``undefined``.

    Parameters
    ----------
    value : float
        The number.
    form : str, optional
        Format of a finite one.
    """
    said = jsonable(value)
    return said if isinstance(said, str) else format(said, form)


def jsonable(value: Any) -> float | str:
    """Return a number as a float that JSON can hold, or the word of :func:`number`."""
    value = float(value)
    if math.isnan(value):
        return "undefined"
    return ("infinite" if value > 0 else "-infinite") if math.isinf(value) else value
