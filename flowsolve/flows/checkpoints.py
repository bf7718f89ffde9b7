"""Files of weights: safetensors with one JSON header, so that reading one runs no code.

The header's metadata has the key ``flowsolve_prior``, a JSON object with the architecture
(:class:`~flowsolve.flows.config.GlowConfig`) and the card (:class:`PriorCard`). Files that
hold ``architecture``, ``training`` and ``terms`` as metadata of their own are read too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from ..errors import ArgumentError, CheckpointError
from ..files import read_regular, target, write_atomically
from ..priors.card import PriorCard as PriorCard
from .config import GlowConfig, first_problem
from .glow import Glow

if TYPE_CHECKING:
    from .prior import GlowPrior

HEADER = "flowsolve_prior"
SCHEMA = 1

MAX_BYTES = 2**34
"""Largest file of weights that is read."""

_SHOWN = 4


LATER = ("notes", "noise_sigma", "noise_width", "latent_companion")
"""Fields that a file has only where they say something: without them it is as it was before there were
any."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds: the network, its card, and the SHA-256 of the file."""

    glow: Glow
    card: PriorCard
    sha256: str


def serialise(glow: Glow, card: PriorCard) -> bytes:
    """Return the bytes of the file that holds `glow` and `card`; the same in, the same out."""
    header = {
        "schema": SCHEMA,
        "architecture": glow.config.model_dump(mode="json"),
        **card.model_dump(mode="json", exclude={name for name in LATER if getattr(card, name) in ("", None)}),
    }
    # A copy of each tensor, because the format refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in glow.state_dict().items()}
    metadata = {HEADER: json.dumps(header, sort_keys=True)}
    return bytes(safetensors.torch.save(tensors, metadata=metadata))


def save_prior(path: str | os.PathLike[str], model: Glow | GlowPrior, card: PriorCard | None = None) -> Path:
    """Write a prior to a file, atomically.

    Parameters
    ----------
    path : path-like
        Where to write; the name must end in ``.safetensors``. A file that is there is
        replaced once the new one is complete.
    model : Glow or GlowPrior
        The network.
    card : PriorCard, optional
        Its card; by default that of the prior, or an empty one for a Glow.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    ArgumentError
        If the name ends otherwise, its folder does not exist, or it is no regular file.
    """
    path = checked_target(path)
    glow = model if isinstance(model, Glow) else model.glow
    if card is None:
        card = PriorCard() if isinstance(model, Glow) else model.card
    write_atomically(path, serialise(glow, card))
    return path


def checked_target(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """Return a path that a prior can be written to.

    Parameters
    ----------
    path : path-like
        The file to write, which may exist.
    argument : str
        What to call it in errors.

    Raises
    ------
    ArgumentError
        If the name does not end in ``.safetensors``, its folder does not exist, or there is something
        that is no regular file.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ArgumentError(argument, str(path), "a name that ends in .safetensors")
    if not path.parent.is_dir():
        raise ArgumentError(argument, str(path), "a path in a folder that exists")
    target(path, argument)
    return path


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a file of weights.

    Parameters
    ----------
    path : path-like
        A file that :func:`save_prior` wrote, or one with the same tensors whose metadata has
        ``architecture``, ``training`` and ``terms``.

    Returns
    -------
    Checkpoint
        The network, on the CPU and in the dtype of the file (float32 for shorter ones).

    Raises
    ------
    CheckpointError
        If there is no such file, if it is cut off, corrupt or of another kind, or if tensors
        are missing, unknown, misshapen or not finite; the message names them.
    """
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parse_checkpoint(data, str(path))


def parse_checkpoint(data: bytes, source: str) -> Checkpoint:
    """Read the bytes of a file of weights; `source` names it in errors.

    Parameters
    ----------
    data : bytes
        The whole file.
    source : str
        Its path or name.

    Raises
    ------
    CheckpointError
        As :func:`read_checkpoint`.
    """
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = "cut off, corrupt, or not a safetensors file"
        raise CheckpointError(f"{source}: {reason} ({error})") from error
    config, card = _parse_header(metadata, source)
    return Checkpoint(build_glow(config, tensors, source), card, hashlib.sha256(data).hexdigest())


def _parse_header(metadata: dict[str, str], source: str) -> tuple[GlowConfig, PriorCard]:
    try:
        if HEADER in metadata:
            header = json.loads(metadata[HEADER])
            schema = header.get("schema") if isinstance(header, dict) else None
            if schema != SCHEMA:
                raise CheckpointError(
                    f"{source}: schema {schema!r} of its header; this version reads {SCHEMA}"
                )
        elif "architecture" in metadata:
            header = {**metadata, "architecture": json.loads(metadata["architecture"])}
        else:
            raise CheckpointError(
                f"{source}: a safetensors file without the {HEADER!r} header, so not a prior of flowsolve"
            )
        return GlowConfig.model_validate(header.get("architecture")), PriorCard.model_validate(header)
    except ValidationError as error:
        raise CheckpointError(f"{source}: bad header: {first_problem(error)}") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{source}: bad header: not JSON ({error})") from error


def build_glow(config: GlowConfig, tensors: Mapping[str, Tensor], source: str) -> Glow:
    """Return the flow that has these weights.

    Parameters
    ----------
    config : GlowConfig
        The architecture.
    tensors : mapping of str to Tensor
        All of its tensors by the names of its ``state_dict``; not copied where they are float32, or
        where some of them are float64.
    source : str
        Path or name of the file they come from, for errors.

    Returns
    -------
    Glow
        In float64 if any tensor is, otherwise in float32.

    Raises
    ------
    CheckpointError
        If tensors are missing, unknown, misshapen, not finite, or would falsify the log-determinant.
    """
    with torch.device("meta"):
        glow = Glow(config)
    expected = {name: tuple(tensor.shape) for name, tensor in glow.state_dict().items()}
    check_tensors(source, tensors, expected)
    refuse_tensors(
        source, "tensors that are not permutations", [n for n in expected if _bad_permutation(n, tensors[n])]
    )
    double = any(tensor.dtype == torch.float64 for tensor in tensors.values())
    dtype = torch.float64 if double else torch.float32
    glow.load_state_dict({name: tensor.to(dtype) for name, tensor in tensors.items()}, assign=True)
    return glow


def check_tensors(
    source: str, tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse tensors that are not those expected, and name them.

    Parameters
    ----------
    source : str
        Path or name of the file they come from.
    tensors : mapping of str to Tensor
        What there is.
    expected : mapping of str to tuple of int
        The shape of every tensor that there must be.

    Raises
    ------
    CheckpointError
        If tensors are missing, unknown, misshapen, not floating point or not finite.
    """
    refuse_tensors(source, "missing tensors", sorted(expected.keys() - tensors.keys()))
    refuse_tensors(source, "unknown tensors", sorted(tensors.keys() - expected.keys()))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    misshapen = [
        f"{name} is {shapes[name]}, should be {expected[name]}"
        for name in expected
        if shapes[name] != expected[name]
    ]
    refuse_tensors(source, "misshapen tensors", misshapen)
    typed = [
        f"{name} is {tensor.dtype}" for name, tensor in tensors.items() if not tensor.is_floating_point()
    ]
    refuse_tensors(source, "tensors that are not floating point", typed)
    broken = [name for name in expected if not tensors[name].isfinite().all()]
    refuse_tensors(source, "tensors that are not finite", broken)


def refuse_tensors(source: str, what: str, found: Sequence[str]) -> None:
    """Raise :class:`CheckpointError` with the first of what was found and the count of the rest, if any."""
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise CheckpointError(f"{source}: {what}: {', '.join(found[:_SHOWN])}{more}")


def _bad_permutation(name: str, tensor: Tensor) -> bool:
    # The log-determinant counts P and the signs as 1, which anything else would make false.
    if name.endswith(".conv1x1.sign"):
        return not bool((tensor.abs() == 1).all())
    if not name.endswith(".conv1x1.permutation"):
        return False
    zero_or_one = bool(((tensor == 0) | (tensor == 1)).all())
    return not (zero_or_one and bool((tensor.sum(0) == 1).all()) and bool((tensor.sum(1) == 1).all()))
