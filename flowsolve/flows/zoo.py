"""Priors by name: those that come with the package, and those that other packages add.

A package adds one by an entry point of the group ``flowsolve.priors``: a function of
``device`` and ``dtype`` that returns a :class:`~flowsolve.priors.Prior` of any kind, the first
line of whose docstring says what images it is for.
"""

from __future__ import annotations

import functools
import importlib.resources
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from ..errors import ArgumentError, CheckpointError, FlowsolveError
from ..priors.base import FlowPrior, Prior
from ..registry import Registry
from .checkpoints import Checkpoint, parse_checkpoint, read_checkpoint
from .prior import GlowPrior
from .raw import PREFIX as RAW
from .raw import raw_prior


@dataclass(frozen=True)
class Bundled:
    """What is known of weights that come with the package, beside what their file says.

    Attributes
    ----------
    sha256 : str
        Hash of the file.
    noise_sigma : float
        Deviation of the Gaussian noise that they were trained with.
    latent_companion : str, optional
        Prior of the same images for descents over latents.
    """

    sha256: str
    noise_sigma: float = 0.0
    latent_companion: str | None = None


BUNDLED = {
    "faces64": Bundled(
        "106d288e75265ce82e63220cea149ab4a152ad4361e82b01845bac930ae9e97b", 0.015, "faces64-additive"
    ),
    "faces64-additive": Bundled("0a9cd01e64bb9074085b47e59a495f321e515fe08ec37510ca3ce310ca5e0477"),
    "faces64-seed": Bundled("0da7fe0a3f1cc21bae2b44007fa251b1f3f0454caf9affd44f0fc1ea86ba7605"),
    "natural": Bundled("776e328498eb2bb5c793c73b4487c553294b7dd7bf05b596daaa96ee2f73dc19", 0.02),
}
"""Weights that come with the package."""

_log = logging.getLogger("flowsolve")


class PriorFactory(Protocol):
    """What is registered under a name: a function that makes the prior."""

    def __call__(self, *, device: str | torch.device, dtype: torch.dtype) -> Prior:
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
    sha256: str | None = None,
    memory: str = "store",
    coupling_dtype: torch.dtype | None = None,
) -> FlowPrior:
    """Return a prior by its name, or from a file of weights.

    The first time in a process that a prior is loaded whose weights come with terms, they are
    said once through the logger ``flowsolve`` (on standard error, unless logging is set up).

    Parameters
    ----------
    name_or_path : str or path-like
        A name of :func:`list_priors`, or the path of a ``.safetensors`` file.
    device : str or torch.device
        Where to compute.
    dtype : torch.dtype
        ``torch.float32`` or ``torch.float64``.
    sha256 : str, optional
        SHA-256 that the file of weights must have, 64 hexadecimal digits; by default, any
        (the priors that come with the package are checked always).
    memory : {"store", "checkpoint", "invertible", "auto"}
        What a gradient keeps; see :class:`~flowsolve.flows.placed.Placed`.
    coupling_dtype : torch.dtype, optional
        What the couplings' networks compute in: by default `dtype`, or ``torch.bfloat16``.

    Returns
    -------
    FlowPrior
        The prior; ``prior.card.terms`` says on what terms its weights may be used. Files and the package's
        own names are Glows (`GlowPrior`); what another package registers may be any kind of prior.

    Raises
    ------
    ArgumentError
        If there is no such name, device, dtype or mode, or the prior is no Glow and a mode was given.
    CheckpointError
        If the file cannot be used, or has another hash; the message says why.

    Examples
    --------
    >>> load_prior("faces64").image_shape
    (3, 64, 64)
    """
    prior = _load(name_or_path, device, dtype)
    if sha256 is not None and prior.sha256 != sha256.lower():
        raise CheckpointError(f"{name_or_path}: SHA-256 {prior.sha256}, should be {sha256}")
    if _is_path(name_or_path):
        _given[prior.sha256] = str(name_or_path) if prior.source is None else prior.source
    _tell_terms(prior.name, prior.card.terms)
    if not isinstance(prior, GlowPrior):
        for argument, given, usual in (("memory", memory, "store"), ("coupling_dtype", coupling_dtype, None)):
            if given != usual:
                raise ArgumentError(argument, repr(given), f"{usual!r}: {prior.name!r} is no Glow")
        return prior
    if coupling_dtype is not None:
        prior = prior.to(coupling_dtype=coupling_dtype)
    return prior if memory == prior.memory else prior.with_memory(memory)


#: Where the weights of a hash stand that were loaded from a file by its path in this process.
_given: dict[str, str] = {}


def find_prior(
    name: str, sha256: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> FlowPrior:
    """Return the registered prior of a hash, or one that was loaded from a file earlier in this process.

    No path is looked at that the caller was told by somebody else, as by a record.

    Parameters
    ----------
    name : str
        The name that is tried first.
    sha256 : str
        SHA-256 of its weights.
    device, dtype
        As for :func:`load_prior`.

    Raises
    ------
    CheckpointError
        If there is none of this hash.
    """
    if sha256 in _given:
        return load_prior(_given[sha256], device=device, dtype=dtype, sha256=sha256)
    raw = RAW if name.startswith(RAW) else ""
    names = PRIORS.names()
    first = name.removeprefix(RAW)
    for candidate in [first] if first in names else names:
        try:
            found = _load(raw + candidate, device, dtype)
        except FlowsolveError:
            # One whose library is not installed is not the one that is looked for.
            continue
        if found.sha256 == sha256:
            _tell_terms(found.name, found.card.terms)
            return found
    raise CheckpointError(f"no registered prior has the SHA-256 {sha256[:12]}…; give the prior or its file")


def _load(name_or_path: str | os.PathLike[str], device: str | torch.device, dtype: torch.dtype) -> Any:
    if _is_path(name_or_path) and not str(name_or_path).startswith(RAW):
        path = Path(name_or_path)
        return _prior(read_checkpoint(path), path.stem, str(path.absolute()), device, dtype)
    name = str(name_or_path)
    if name.startswith(RAW):
        return raw_prior(_load(name.removeprefix(RAW), device, dtype))
    if name not in PRIORS:
        try:
            PRIORS.get(name)
        except ArgumentError as error:
            accepted = f"{error.accepted}; or the path of a .safetensors file"
            raise ArgumentError("prior", repr(name), accepted) from None
    return PRIORS.get(name)(device=device, dtype=dtype)


@functools.cache
def _tell_terms(name: str, terms: str) -> None:
    # The cache is what makes this once a process and prior.
    if terms not in ("", "unknown", "not stated"):
        _log.warning("Prior %s: %s", name, terms)


@register_prior("faces64")
def faces64(*, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> GlowPrior:
    """Aligned faces, 64x64 RGB, best over images (Glow, 4 levels of 8; non-commercial research use)."""
    return _bundled_prior("faces64", device, dtype)


@register_prior("faces64-additive")
def faces64_additive(*, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> GlowPrior:
    """Aligned faces, 64x64 RGB, fast and better over latents (additive; non-commercial research use)."""
    return _bundled_prior("faces64-additive", device, dtype)


@register_prior("faces64-seed")
def faces64_seed(*, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> GlowPrior:
    """Aligned faces, 64x64 RGB, trained as in Oberlin and Verm's code (non-commercial research use)."""
    return _bundled_prior("faces64-seed", device, dtype)


@register_prior("natural")
def natural(*, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> GlowPrior:
    """Photographs of any size, RGB (Glow, 4 levels of 8 steps; non-commercial research use)."""
    return _bundled_prior("natural", device, dtype)


def _is_path(name_or_path: str | os.PathLike[str]) -> bool:
    if not isinstance(name_or_path, str):
        return True
    return name_or_path.endswith(".safetensors") or "/" in name_or_path or os.sep in name_or_path


def _bundled_prior(name: str, device: str | torch.device, dtype: torch.dtype) -> GlowPrior:
    return _prior(_bundled(name), name, name, device, dtype)


def _bundled(name: str) -> Checkpoint:
    known = BUNDLED[name]
    resource = importlib.resources.files("flowsolve.flows").joinpath("weights", f"{name}.safetensors")
    try:
        data = resource.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{name}: its weights are not in this installation of flowsolve") from error
    checkpoint = parse_checkpoint(data, f"{name}.safetensors")
    if checkpoint.sha256 != known.sha256:
        raise CheckpointError(
            f"{name}: SHA-256 {checkpoint.sha256}, should be {known.sha256}: reinstall flowsolve"
        )
    said = {"noise_sigma": known.noise_sigma, "latent_companion": known.latent_companion}
    return replace(checkpoint, card=checkpoint.card.model_copy(update=said))


def _prior(
    checkpoint: Checkpoint, name: str, source: str, device: str | torch.device, dtype: torch.dtype
) -> GlowPrior:
    return GlowPrior(
        checkpoint.glow,
        name=name,
        source=source,
        card=checkpoint.card,
        sha256=checkpoint.sha256,
        device=device,
        dtype=dtype,
    )
