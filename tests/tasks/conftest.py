"""A tiny prior in a file and tiny photographs."""

from cli_inputs import photographs, prior_file

__all__ = ["photographs", "prior_file"]
