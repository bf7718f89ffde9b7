"""The HDF5 record of a run: writing it while it runs, reading it back, resuming and repeating it."""

from .config import describe_run
from .reader import RunRecord, open_run
from .schema import SCHEMA
from .writer import RunWriter

__all__ = ["SCHEMA", "RunRecord", "RunWriter", "describe_run", "open_run"]
