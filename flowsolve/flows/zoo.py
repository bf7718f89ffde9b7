"""Priors by name: those that come with the package, and those that other packages add.

A package adds one by an entry point of the group ``flowsolve.priors``: a function of
``device`` and ``dtype`` that returns a :class:`~flowsolve.flows.prior.FlowPrior`, the first
line of whose docstring says what images it is for.
"""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path
from typing import Protocol

import torch

from ..errors import ArgumentError, CheckpointError
from ..registry import Registry
from .checkpoints import Checkpoint, parse_checkpoint, read_checkpoint
from .prior import FlowPrior

FACES64_SHA256 = "0a9cd01e64bb9074085b47e59a495f321e515fe08ec37510ca3ce310ca5e0477"


class PriorFactory(Protocol):
    """What is registered under a name: a function that makes the prior."""

    def __call__(self, *, device: str | torch.device, dtype: torch.dtype) -> FlowPrior:
        """Return the prior on `device` and in `dtype`."""


PRIORS: Registry[PriorFactory] = Registry("prior", "flowsolve.priors")
register_prior = PRIORS.register


def list_priors() -> dict[str, str]:
    """Return the names that :func:`load_prior` knows, each with a one-line summary."""
    return {name: PRIORS.summary(name) for name in PRIORS}


def load_prior(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> FlowPrior:
    """Return a prior by its name, or from a file of weights.

    Parameters
    ----------
    name_or_path : str or path-like
        A name of :func:`list_priors`, or the path of a ``.safetensors`` file.
    device : str or torch.device
        Where to compute.
    dtype : torch.dtype
        ``torch.float32`` or ``torch.float64``.

    Returns
    -------
    FlowPrior
        The prior; ``prior.card.terms`` says on what terms its weights may be used.

    Raises
    ------
    ArgumentError
        If there is no such name, device or dtype.
    CheckpointError
        If the file cannot be used; the message says why.

    Examples
    --------
    >>> load_prior("faces64").image_shape
    (3, 64, 64)
    """
    if _is_path(name_or_path):
        path = Path(name_or_path)
        return _prior(read_checkpoint(path), path.stem, str(path.absolute()), device, dtype)
    name = str(name_or_path)
    if name not in PRIORS:
        try:
            PRIORS.get(name)
        except ArgumentError as error:
            accepted = f"{error.accepted}; or the path of a .safetensors file"
            raise ArgumentError("prior", repr(name), accepted) from None
    return PRIORS.get(name)(device=device, dtype=dtype)


@register_prior("faces64")
def faces64(*, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> FlowPrior:
    """Aligned faces, 64x64 RGB (Glow, 4 levels of 8 steps; non-commercial research use)."""
    return _prior(_bundled("faces64", FACES64_SHA256), "faces64", "faces64", device, dtype)


def _is_path(name_or_path: str | os.PathLike[str]) -> bool:
    if not isinstance(name_or_path, str):
        return True
    return name_or_path.endswith(".safetensors") or "/" in name_or_path or os.sep in name_or_path


def _bundled(name: str, sha256: str) -> Checkpoint:
    resource = importlib.resources.files("flowsolve.flows").joinpath("weights", f"{name}.safetensors")
    try:
        data = resource.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{name}: its weights are not in this installation of flowsolve") from error
    checkpoint = parse_checkpoint(data, f"{name}.safetensors")
    if checkpoint.sha256 != sha256:
        raise CheckpointError(f"{name}: SHA-256 {checkpoint.sha256}, should be {sha256}: reinstall flowsolve")
    return checkpoint


def _prior(
    checkpoint: Checkpoint, name: str, source: str, device: str | torch.device, dtype: torch.dtype
) -> FlowPrior:
    return FlowPrior(
        checkpoint.glow,
        name=name,
        source=source,
        card=checkpoint.card,
        sha256=checkpoint.sha256,
        device=device,
        dtype=dtype,
    )
