"""Names and version of the record's layout, shared by the writer and the reader."""

from __future__ import annotations

#: Version of the layout; raised whenever a reader of the last one could not read the new one.
SCHEMA = 1

#: What the root's attribute ``status`` may say.
RUN_STATUSES = ("running", "finished", "interrupted", "failed")

#: Units of the trace's columns, where they have one; the rest are counts or objective values.
UNITS = {"psnr": "dB", "seconds": "s"}
