"""Numbers as users give them, of Python, NumPy or torch, turned into Python's own in one place.

Counts go through `operator.index` and other numbers through `float`, so that an option that came out of an
array is computed with, compared and recorded like one that was typed in.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

from .errors import ArgumentError

#: The largest count that is accepted; beyond it 64-bit integers overflow.
LARGEST = 2**63 - 1


def is_number(value: Any) -> bool:
    """Return whether a value is one real number: a scalar of Python or NumPy, or an array without axes."""
    if isinstance(value, bool | str | bytes | complex) or getattr(value, "shape", ()) != ():
        return False
    # Truth values and complex numbers of NumPy and torch name themselves in their dtype.
    if any(word in str(getattr(value, "dtype", "")) for word in ("bool", "complex", "str", "object")):
        return False
    return hasattr(value, "__float__") or hasattr(value, "__index__")


def as_count(value: Any, argument: str, *, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number as an int.

    Parameters
    ----------
    value : int or scalar
        An integer of Python, NumPy or torch.
    argument : str
        Its name, for the error.
    least, most : int
        What is accepted, both included.

    Raises
    ------
    ArgumentError
        If it is no integer, or outside.
    """
    accepted = f"an integer >= {least}" + (f" and <= {most}" if most < LARGEST else "")
    if not is_number(value):
        raise ArgumentError(argument, repr(value), accepted)
    try:
        count = operator.index(value)
    except TypeError:
        raise ArgumentError(argument, repr(value), accepted) from None
    if not least <= count <= most:
        raise ArgumentError(argument, repr(value), accepted)
    return count


def as_real(value: Any, argument: str, accepted: str = "a finite number") -> float:
    """Return a finite number as a float.

    Parameters
    ----------
    value : float or scalar
        A number of Python, NumPy or torch.
    argument, accepted : str
        Its name and what may be given, for the error.

    Raises
    ------
    ArgumentError
        If it is no number, NaN or infinite.
    """
    number = to_float(value, argument, accepted)
    if not math.isfinite(number):
        raise ArgumentError(argument, repr(value), accepted)
    return number


def to_float(value: Any, argument: str, accepted: str) -> float:
    """Return a number as a float, which may be infinite or NaN; raise `ArgumentError` for anything else."""
    if not is_number(value):
        raise ArgumentError(argument, repr(value), accepted)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(argument, repr(value), accepted) from None


def as_python(value: Any) -> Any:
    """Return a scalar of NumPy or torch as Python's own number, and anything else as it is."""
    if not is_number(value) or type(value) in (int, float):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return float(value)


def plain(value: Any, where: str = "record") -> Any:
    """Return a description with Python's own numbers, lists and dicts, as JSON takes them.

    Parameters
    ----------
    value : object
        Dicts, lists and tuples of numbers, arrays, text, None.
    where : str
        What it is called in an error.

    Raises
    ------
    ArgumentError
        If it holds anything else; the message says where.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{place}]") for place, item in enumerate(value)]
    if hasattr(value, "tolist"):
        # Arrays and scalars of NumPy and torch; NumPy's become lists and numbers, or stay objects.
        listed = value.tolist()
        if type(listed) is not type(value):
            return plain(listed, where)
    elif is_number(value):
        return as_python(value)
    raise ArgumentError(where, f"a {type(value).__name__}", "numbers, text, lists, dicts, as JSON has")
