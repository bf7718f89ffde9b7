"""Errors that say which argument was wrong, what was given and what is accepted.

The command line turns every :class:`FlowsolveError` into one line on standard error and
exit code 2; Python users catch it as the ``ValueError`` (or ``OSError``) it also is.
"""

from __future__ import annotations


class FlowsolveError(Exception):
    """Base class of the errors this package raises on purpose."""


class ArgumentError(FlowsolveError, ValueError):
    """A bad value for a named argument.

    Parameters
    ----------
    argument : str
        Name of the argument as the caller wrote it, for example ``"sigma"``.
    given : object
        What was given; shown as it is.
    accepted : str
        What would have been accepted, in words.

    Examples
    --------
    >>> raise ArgumentError("sigma", -1, "a finite number >= 0")
    Traceback (most recent call last):
        ...
    flowsolve.errors.ArgumentError: sigma: got -1; accepted: a finite number >= 0
    """

    def __init__(self, argument: str, given: object, accepted: str) -> None:
        self.argument, self.given, self.accepted = argument, given, accepted
        super().__init__(f"{argument}: got {given}; accepted: {accepted}")


class CheckpointError(FlowsolveError, ValueError):
    """A file of weights that cannot be used, with the reason."""


class RecordError(FlowsolveError, OSError):
    """A run record that cannot be written or read, with the reason."""


class UnsupportedError(FlowsolveError, NotImplementedError):
    """A combination that has no meaning or no method, with what would work instead."""
