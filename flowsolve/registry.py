"""Named things that a user can pick: operators, solvers, priors, initialisers, tasks.

A registry is filled by a decorator at import and, on first use, by the entry points of
installed packages, so that a third party adds a name without touching this package.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from .errors import ArgumentError

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from names to objects, with suggestions for misspelt names.

    Parameters
    ----------
    kind : str
        What the names stand for, in the singular; used in error messages.
    entry_point_group : str, optional
        Group of entry points to read on first use, for example ``"flowsolve.solvers"``.
    """

    def __init__(self, kind: str, entry_point_group: str | None = None) -> None:
        self.kind = kind
        self.entry_point_group = entry_point_group
        self._items: dict[str, T] = {}
        self._entry_points_read = entry_point_group is None

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that stores what it decorates under `name`.

        Raises
        ------
        ArgumentError
            If `name` is taken.
        """

        def store(item: T) -> T:
            if name in self._items:
                raise ArgumentError("name", repr(name), f"a {self.kind} name that is not taken")
            self._items[name] = item
            return item

        return store

    def get(self, name: str, argument: str | None = None) -> T:
        """Return what is stored under `name`.

        Raises
        ------
        ArgumentError
            If there is no such name; the message lists the names and the nearest one.
        """
        self._read_entry_points()
        if name in self._items:
            return self._items[name]
        near = difflib.get_close_matches(str(name), self._items, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ArgumentError(argument or self.kind, repr(name), ", ".join(self.names()) + hint)

    def names(self) -> list[str]:
        """Return the names in alphabetical order."""
        self._read_entry_points()
        return sorted(self._items)

    def summary(self, name: str) -> str:
        """Return the first line of the docstring of what is stored under `name`."""
        doc = getattr(self.get(name), "__doc__", None) or ""
        return doc.strip().split("\n")[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        self._read_entry_points()
        return name in self._items

    def _read_entry_points(self) -> None:
        if self._entry_points_read:
            return
        self._entry_points_read = True
        for point in entry_points(group=str(self.entry_point_group)):
            if point.name not in self._items:
                self._items[point.name] = point.load()
