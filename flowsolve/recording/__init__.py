"""The HDF5 record of a run: writing it while it runs, reading it back."""

from .config import describe_run
from .reader import RunRecord, read_run
from .schema import SCHEMA
from .writer import RunWriter

__all__ = ["SCHEMA", "RunRecord", "RunWriter", "describe_run", "read_run"]
