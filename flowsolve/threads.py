"""How many threads torch computes with, refused before it starts more than a machine can bear."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any

import torch

from .errors import ArgumentError

PER_CPU, ALWAYS = 8, 256
"""Most threads: so many for each CPU, or so many on any machine, as a record of a larger one may ask for."""


def check_threads(threads: Any) -> int:
    """Return a number of threads as an int.

    Parameters
    ----------
    threads : int
        From 1 to 8 for each CPU, or to 256 if that is more.

    Raises
    ------
    ArgumentError
        If it is not that.
    """
    most = max(ALWAYS, PER_CPU * (os.cpu_count() or 1))
    if not isinstance(threads, Integral) or isinstance(threads, bool) or not 1 <= threads <= most:
        raise ArgumentError("threads", threads, f"an integer from 1 to {most}")
    return int(threads)


def use_threads(threads: Any) -> None:
    """Compute with so many threads; parameters and errors as for :func:`check_threads`."""
    torch.set_num_threads(check_threads(threads))
