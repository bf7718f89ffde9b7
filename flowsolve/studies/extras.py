"""Libraries that only studies need, imported when they are."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import UnsupportedError


def require(package: str, extra: str = "study") -> Any:
    """Return an optional package, imported.

    Parameters
    ----------
    package : str
        Name of the module.
    extra : str
        Extra of flowsolve that brings it.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        raise UnsupportedError(
            f"{package} is not installed; pip install 'flowsolve[{extra}]' brings it"
        ) from None
