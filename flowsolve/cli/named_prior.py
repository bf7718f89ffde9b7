"""The prior that a command line names: registered, a file of weights, or an object of one's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ArgumentError

if TYPE_CHECKING:
    import torch

    from ..priors.base import Prior

ACCEPTED = "a flowsolve.priors.Prior, or a function of device and dtype that makes one"


def named_prior(target: str, device: str, dtype: torch.dtype) -> Prior:
    """Return the prior of a name, a file, or ``MODULE:NAME``: a prior, or what makes one.

    Parameters
    ----------
    target : str
        What was said; the module is found as Python run in the current folder would find it.
    device, dtype
        Where and in what it is to compute.

    Raises
    ------
    ArgumentError
        If there is no such name or module, or it is no prior.
    CheckpointError
        If a file of weights cannot be used.
    """
    from ..flows import load_prior
    from ..priors.base import Prior
    from .check_operator import find_object

    if ":" not in target or target.startswith("raw:"):
        return load_prior(target, device=device, dtype=dtype)
    found = find_object(target, "prior", f"MODULE:NAME of {ACCEPTED}")
    made = found if isinstance(found, Prior) or not callable(found) else found(device=device, dtype=dtype)
    if not isinstance(made, Prior):
        raise ArgumentError("prior", f"{target}, a {type(made).__name__}", ACCEPTED)
    return made.to(device=device, dtype=dtype)
