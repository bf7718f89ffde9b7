"""Version and names of the record's layout, shared by writer and readers; ``docs/record.md`` describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from ..errors import RecordError
from ..files import open_regular

#: Version of the layout; raised whenever a reader of the last one could not read the new one.
SCHEMA = 1

#: First bytes of every HDF5 file.
SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: Bytes of a superblock of version 3 (HDF5 file format specification, II.A).
SUPERBLOCK = 48

#: What the dataset ``status`` may say.
RUN_STATUSES = ("running", "finished", "interrupted", "failed")

#: Attribute of the file with what was said of a method's outcome.
OUTCOME = "outcome"

#: Units of the trace's columns, where they have one; the rest are counts or objective values.
UNITS = {"psnr": "dB", "seconds": "s"}

#: For each older schema, a function from the configuration it wrote to the one of the schema after it.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


PSNR = {"name": "psnr", "unit": "dB", "better": "higher"}
"""The metric of records that do not say which they have."""


def metric_columns(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the metrics that a record's trace has columns of, where the truth is known, by name."""
    columns = (config.get("metrics") or {"columns": [PSNR]})["columns"]
    return {column["name"]: {"unit": "", "better": "higher", **column} for column in columns}


def check_schema(attributes: Mapping[str, Any], path: Path) -> int:
    """Return the schema a record was written with.

    Raises
    ------
    RecordError
        If the file is not a run, or of a schema that this version cannot read.
    """
    schema = attributes.get("schema")
    if schema is None or not isinstance(schema, Integral):
        raise RecordError(f"record: {path} is HDF5 but not a run of flowsolve")
    if schema > SCHEMA:
        raise RecordError(
            f"record: {path} has schema {schema}; this version of flowsolve reads up to {SCHEMA}"
        )
    if any(old not in MIGRATIONS for old in range(int(schema), SCHEMA)):
        raise RecordError(
            f"record: {path} has schema {schema}, which this version of flowsolve no longer reads"
        )
    return int(schema)


def migrate(config: dict[str, Any], schema: int) -> dict[str, Any]:
    """Return a configuration as the present schema writes it."""
    for old in range(schema, SCHEMA):
        config = MIGRATIONS[old](config)
    return config


def superblock(path: Path) -> bytes:
    """Return the first bytes of a file, which hold version, flags, end mark and their checksum."""
    with open_regular(path) as file:
        return file.read(SUPERBLOCK)
