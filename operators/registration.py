"""Where operators are looked up by name.

Operators that a user picks are in :data:`registry`, which other packages extend through
the entry-point group ``flowsolve.operators``. What is only ever built from other operators
(sums, compositions, ...) is kept apart, so that lists for users stay readable.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from ..errors import UnsupportedError
from ..registry import Registry

registry: Registry[Any] = Registry("operator", "flowsolve.operators")
composites: dict[str, Any] = {}
_alive: WeakValueDictionary[str, Any] = WeakValueDictionary()

Class = TypeVar("Class", bound=type)


def register_operator(name: str) -> Callable[[Class], Class]:
    """Return a class decorator that registers an operator under `name`.

    The name becomes the class attribute ``name``, which ``config()`` writes and
    ``from_config`` reads.

    Raises
    ------
    ArgumentError
        If the name is taken.
    """

    def store(cls: Class) -> Class:
        registry.register(name)(cls)
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return store


def register_composite(name: str) -> Callable[[Class], Class]:
    """Return a class decorator for operators that are built from other operators."""

    def store(cls: Class) -> Class:
        composites[name] = cls
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return store


def registered_name(cls: type) -> str:
    """Return the name a class is registered under by an entry point alone, or an empty string."""
    return next((name for name in registry if registry.get(name) is cls), "")


def key_of(operator: Any) -> str:
    """Return a new key, by which :func:`operator_of` finds the operator for as long as it lives.

    A compiler of graphs can hold a name, but no operator. No key is ever given twice, in any process:
    graphs are kept on disk.
    """
    key = uuid.uuid4().hex
    _alive[key] = operator
    return key


def operator_of(key: str) -> Any:
    """Return the operator that a key was given to.

    Raises
    ------
    UnsupportedError
        If it is gone.
    """
    operator = _alive.get(key)
    if operator is None:
        raise UnsupportedError("a compiled graph calls an operator that no longer exists; keep the operator")
    return operator
