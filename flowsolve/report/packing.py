"""Numbers as a page can hold them compactly: base64 of little-endian arrays, and words as codes."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

#: Types that scripts in a page read: of unsigned integers the smallest that fits is taken.
INTEGERS = ("u1", "u2", "u4")


def pack(values: Any, kind: str | None = None) -> dict[str, str]:
    """Return numbers in a form that JSON holds and the page reads; NaN and infinities survive.

    Parameters
    ----------
    values : array
        Numbers of any shape; flattened in C order.
    kind : str, optional
        ``f4``, ``f8``, ``u1``, ``u2`` or ``u4``; the smallest unsigned type unless given.

    Returns
    -------
    dict
        ``type`` and ``data``, the base64 of the little-endian bytes.
    """
    values = np.asarray(values)
    if kind is None:
        largest = int(values.max()) if values.size else 0
        kind = next(kind for kind in INTEGERS if largest <= np.iinfo(kind).max)
    data = np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()
    return {"type": kind, "data": base64.b64encode(data).decode("ascii")}


def pack_words(words: Sequence[Hashable]) -> dict[str, Any]:
    """Return words as the list of distinct ones, in order of appearance, and a code for each.

    Parameters
    ----------
    words : sequence
        Text or other values that JSON holds.

    Returns
    -------
    dict
        ``labels`` and ``codes``.
    """
    codes = {word: code for code, word in enumerate(dict.fromkeys(words))}
    return {"labels": list(codes), "codes": pack([codes[word] for word in words])}
