"""Checkpoints of a training run: tensors in safetensors, counters in JSON, nothing pickled.

The JSON document names its file of tensors and is written after it, each atomically, and the
older tensors go last. So whenever the process is killed there is a document whose tensors are
there, and they belong together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from ...errors import CheckpointError
from ...files import read_regular, read_text
from ..checkpoints import MAX_BYTES
from .files import save
from .state import TrainingState

DOCUMENT = "checkpoint.json"
SCHEMA = 1


def save_checkpoint(folder: Path, state: TrainingState, document: dict[str, Any]) -> None:
    """Write a checkpoint and remove the one before.

    Parameters
    ----------
    folder : path
        Where checkpoints are; made if need be.
    state : TrainingState
        What to keep.
    document : dict
        What else to keep, of JSON types.

    Raises
    ------
    ArgumentError
        If it cannot be written, for example because the disk is full; the one before is intact.
    """
    tensors = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in state.named_tensors()}
    name = f"state-{state.counters.step}.safetensors"
    save(folder / name, safetensors.torch.save(tensors))
    text = json.dumps({**document, "schema": SCHEMA, "tensors": name, "counters": state.counters.as_dict()})
    save(folder / DOCUMENT, text.encode())
    for old in folder.glob("state-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def read_document(folder: Path) -> dict[str, Any]:
    """Read the JSON document of a checkpoint.

    Raises
    ------
    CheckpointError
        If it is not there, or is not one.
    """
    path = folder / DOCUMENT
    try:
        document = json.loads(read_text(path))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error})") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise CheckpointError(f"{path}: not a checkpoint of training, schema {SCHEMA}")
    return document


def load_tensors(folder: Path, state: TrainingState) -> dict[str, Any]:
    """Read a checkpoint's tensors into a state; its counters stay as they are but for Adam's.

    Parameters
    ----------
    folder : path
        Where the checkpoint is.
    state : TrainingState
        What to overwrite.

    Returns
    -------
    dict
        The document.

    Raises
    ------
    CheckpointError
        If the file is damaged, or its tensors are not those of the state; nothing is changed then.
    """
    document = read_document(folder)
    path = folder / str(document.get("tensors"))
    try:
        tensors = safetensors.torch.load(read_regular(path, MAX_BYTES))
        updates = int(document["counters"]["updates"])
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: cut off or corrupt ({error})") from error
    expected = dict(state.named_tensors())
    wrong = sorted(expected.keys() ^ tensors.keys())
    wrong += [
        name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise CheckpointError(f"{path}: tensors missing, unknown or misshapen: {', '.join(wrong[:4])}{more}")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])
    state.set_updates(updates)
    return document
