"""Objects that say in a few lines what they are, in a terminal and in a notebook."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable

import numpy as np

from .words import number


class Described:
    """What shows itself by its `in_lines`, as text and as HTML."""

    def in_lines(self) -> list[str]:
        """Return what matters, the first line being what it is."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return "\n  ".join(self.in_lines())

    def _repr_html_(self) -> str:
        head, *rest = map(html.escape, self.in_lines())
        return f"<div><b>{head}</b><br>{'<br>'.join(rest)}</div>"


def mean_of(values: np.ndarray, form: str = ".2f") -> str:
    """Return the mean of values and, of several, from where to where they go."""
    values = np.asarray(values, dtype=np.float64)
    said = number(np.mean(values), form)
    if (values == values.flat[0]).all():
        return said
    return f"{said} (from {number(values.min(), form)} to {number(values.max(), form)})"


def ends(statuses: Iterable[str]) -> str:
    """Return how images ended, in words."""
    return ", ".join(f"{count} {status or 'running'}" for status, count in Counter(statuses).items())
