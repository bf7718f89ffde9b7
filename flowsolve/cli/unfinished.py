"""What ``resume`` and ``rerun`` share: threads, prior and progress as the recorded run had them."""

from __future__ import annotations

import torch

from ..priors.base import Prior
from ..recording import RunRecord
from ..threads import use_threads as torch_threads
from .named_prior import named_prior
from .progress import ProgressLine


def use_threads(record: RunRecord, threads: int | None) -> None:
    """Compute with `threads`, or with as many as the run did: another number can change the last bits."""
    torch_threads(record.config["threads"] if threads is None else threads)


def load_for(record: RunRecord, prior: str | None) -> Prior | None:
    """Return the prior that was named, on the run's device and in its dtype; None if none was."""
    if prior is None:
        return None
    return named_prior(prior, record.config["device"], getattr(torch, record.config["dtype"]))


def progress_of(record: RunRecord, label: str, max_iter: int | None = None) -> ProgressLine:
    """Return a progress line with the limits of the run, or another limit of iterations."""
    limits = {k: v for k, v in record.config["limits"].items() if k != "rtol"}
    limits["max_iter"] = record.last_iteration if max_iter is None else max_iter
    return ProgressLine(f"{record.path.name} {label}", **limits)
