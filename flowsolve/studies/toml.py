"""The reader of TOML: the standard library's, or the package it came from where that is too old."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    from .extras import require

    tomllib: Any = require("tomli")

__all__ = ["tomllib"]
