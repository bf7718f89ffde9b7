"""From a foreign file to a prior of this program: :func:`import_prior`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from ...errors import ArgumentError, CheckpointError
from ..checkpoints import PriorCard, build_glow
from ..choices import checked_dtype
from ..config import GlowConfig, first_problem
from ..glow import Glow
from .base import ForeignFormat, formats
from .reading import read_tensors

DEFAULT_SIZE = 64
"""Side of the images that all three programs train on unless told otherwise."""


@dataclass(frozen=True)
class ImportedPrior:
    """What a foreign file was turned into.

    Parameters
    ----------
    glow : Glow
        The network, for :func:`~flowsolve.flows.checkpoints.save_prior` or
        :class:`~flowsolve.flows.prior.GlowPrior`.
    card : PriorCard
        Its card, with what was assumed in the notes.
    format : str
        Name of the format that the file has.
    notes : tuple of str
        What was assumed because the file does not say it.
    """

    glow: Glow
    card: PriorCard
    format: str
    notes: tuple[str, ...]


def import_prior(
    path: str | os.PathLike[str],
    format: str = "auto",
    *,
    image_size: int | tuple[int, int] | Literal["any"] | None = None,
    bits: int | None = None,
    dtype: torch.dtype = torch.float32,
    summary: str = "",
    training: str = "not stated",
    terms: str = "not stated",
    **settings: float,
) -> ImportedPrior:
    """Turn weights that another program trained into a prior.

    Nothing in the file is run: only tensors are read. The prior's latents, log-determinant and
    decoder are those of the program that made the file, with its latents standardised.

    Parameters
    ----------
    path : path-like
        A file of ``torch.save`` or safetensors with the network's ``state_dict``.
    format : str
        ``"rosinality"``, ``"glowip"``, ``"chaiyujin"``, another registered name, or ``"auto"``: the
        one that the tensors' names fit.
    image_size : int or (int, int) or "any", optional
        Height and width of the images; by default what the file says, or else 64.
    bits : int, optional
        Bits a pixel value of the training images, which count in bits a dimension only; by default
        what the program trains with unless told otherwise.
    dtype : torch.dtype
        What the weights are rounded to after folding, which is done in float64.
    summary, training, terms : str
        For the prior's card: one line on what it is, what it was trained on, on what terms it may be used.
    **settings : float
        What the format's files do not say; see the classes of the formats (``coupling_bias`` and
        ``last_coupling_bias`` of ``"glowip"``).

    Returns
    -------
    ImportedPrior
        The network and its card, to be saved with :func:`~flowsolve.flows.checkpoints.save_prior` or used as
        ``GlowPrior(found.glow, card=found.card)``; its format, and what was assumed.

    Raises
    ------
    ArgumentError
        If there is no such format, it has no such setting, or a value is not accepted.
    CheckpointError
        If the file cannot be read without running code, fits no format (with the reason for
        each), or has missing, unknown, misshapen or non-finite tensors, which are named.

    Examples
    --------
    >>> found = import_prior("model_200001.pt", "rosinality", terms="research only")  # doctest: +SKIP
    >>> GlowPrior(found.glow, name="mine", card=found.card).sample(4, seed=0)  # doctest: +SKIP
    """
    candidates = {format: _reader(format, settings)} if format != "auto" else _readers(settings)
    source, dtype = str(path), checked_dtype(dtype)
    tensors = read_tensors(path)
    reasons = {}
    for name, reader in candidates.items():
        try:
            found = _architecture(reader, tensors, source)
            weights = reader.weights(found, tensors, source, dtype)
        except CheckpointError as error:
            reasons[name] = str(error).removeprefix(f"{source}: ")
            continue
        config, notes = _complete(reader, found, image_size, bits)
        notes = (*notes, *reader.notes(config))
        summary = summary or f"Imported from {os.path.basename(source)}, format {name}"
        text = "; ".join(f"assumed: {note}" for note in notes)
        card = PriorCard(summary=summary, training=training, terms=terms, notes=text)
        return ImportedPrior(build_glow(config, weights, source), card, name, notes)
    if format != "auto":
        raise CheckpointError(f"{source}: not of the format {format!r}: {reasons[format]}")
    if "levels.0.steps.0.actnorm.bias" in tensors:
        raise CheckpointError(f"{source}: no foreign file, as its tensors are named like those of flowsolve")
    with_settings = f" and has the settings {', '.join(settings)}" if settings else ""
    tried = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise CheckpointError(f"{source}: fits no format that is known{with_settings} ({tried})")


def _reader(name: str, settings: Mapping[str, float]) -> ForeignFormat:
    if name not in formats:
        raise ArgumentError("format", repr(name), f"auto, {', '.join(formats.names())}")
    kind = formats.get(name)
    known = list(inspect.signature(kind).parameters)
    for setting, value in settings.items():
        if setting not in known:
            accepted = f"with the format {name!r} {', '.join(known) or 'no setting'}"
            raise ArgumentError(setting, value, accepted)
    return kind(**settings)


def _readers(settings: Mapping[str, float]) -> dict[str, ForeignFormat]:
    """Return the formats that have these settings."""
    known = {name: inspect.signature(formats.get(name)).parameters for name in formats}
    fitting = [name for name, parameters in known.items() if settings.keys() <= parameters.keys()]
    if not fitting:
        raise ArgumentError("settings", ", ".join(settings), "those of one format")
    return {name: _reader(name, settings) for name in fitting}


def _architecture(reader: ForeignFormat, tensors: Mapping[str, Tensor], source: str) -> GlowConfig:
    try:
        return GlowConfig(**{"bits": reader.bits, **reader.architecture(tensors, source)})
    except ValidationError as error:
        raise CheckpointError(f"{source}: its tensors tell {first_problem(error)}") from error


def _complete(
    reader: ForeignFormat,
    found: GlowConfig,
    image_size: int | tuple[int, int] | Literal["any"] | None,
    bits: int | None,
) -> tuple[GlowConfig, tuple[str, ...]]:
    """Return the architecture with what the file does not say, and what was assumed."""
    notes, config = [], found
    if image_size is not None:
        config = _replaced(config, "image_size", None if image_size == "any" else image_size)
    elif found.image_size is None and DEFAULT_SIZE % found.multiple == 0:
        config = _replaced(config, "image_size", DEFAULT_SIZE)
        notes.append(f"images of {DEFAULT_SIZE}x{DEFAULT_SIZE} pixels")
    if bits is not None:
        config = _replaced(config, "bits", bits)
    else:
        notes.append(f"trained with {found.bits} bits a pixel value")
    return config, tuple(notes)


def _replaced(config: GlowConfig, field: str, value: Any) -> GlowConfig:
    try:
        return GlowConfig(**{**config.model_dump(), field: value})
    except ValidationError as error:
        accepted = f"what an architecture can have ({first_problem(error)})"
        raise ArgumentError(field, repr(value), accepted) from error
