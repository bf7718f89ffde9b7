"""Read the tensors of a foreign file without running any code that it may hold."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ...errors import CheckpointError
from ...files import kind

WRAPPERS = ("graph", "state_dict", "model_state_dict", "model", "net", "ema")
"""Keys under which training programs keep a network beside its optimiser and counters."""

PREFIXES = ("module.", "_orig_mod.")
"""What torch puts before every name of a parallel or a compiled network."""

GROWTH = 2
"""How many times the size of an archive that which it holds may be."""

# What torch says of a file that wants more than tensors and plain containers, and of what it wants.
_NEEDS_CODE = re.compile("unsupported (?:global|class)|unrecognized function|can only (?:build|create)", re.I)
_WANTED = re.compile(r"(?:GLOBAL|class) '?([\w.]+\w)")


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the named tensors of a file of weights, on the CPU.

    Parameters
    ----------
    path : path-like
        A file that ``torch.save`` wrote: a ``state_dict``, or a dict with one under a key of
        :data:`WRAPPERS`; or a ``.safetensors`` file. Prefixes of parallel networks are removed.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    CheckpointError
        If there is no such file, if it is cut off, compressed or of another kind, if it holds anything
        that could only be read by running code, or if it holds no named tensors.
    """
    source = str(path)
    if not Path(path).is_file():
        reason = f"it is {kind(path)}" if os.path.exists(path) else "there is no such file"
        raise CheckpointError(f"{source}: cannot be read ({reason})")
    _refuse_bomb(path)
    content = _load_safetensors(path) if Path(path).suffix == ".safetensors" else _load_pickle(path)
    return _without_prefix(_named_tensors(content, source))


def _refuse_bomb(path: str | os.PathLike[str]) -> None:
    """Refuse an archive that holds far more than its size: torch stores tensors as they are."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            held = sum(info.file_size for info in archive.infolist())
    except Exception as error:  # a damaged archive makes zipfile raise almost anything
        raise CheckpointError(f"{path}: cut off, corrupt, or not a file that torch.save wrote") from error
    size = os.path.getsize(path)
    if held > GROWTH * size:
        raise CheckpointError(f"{path}: refused, because its {size} bytes would become {held}")


def _load_safetensors(path: str | os.PathLike[str]) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = "cut off, corrupt, or not a safetensors file"
        raise CheckpointError(f"{path}: {reason} ({error})") from error


def _load_pickle(path: str | os.PathLike[str]) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if _NEEDS_CODE.search(str(error)):
            wanted = _WANTED.search(str(error))
            named = f" ({wanted[1]})" if wanted else ""
            raise CheckpointError(
                f"{path}: refused, because reading it would run code{named}: only tensors are read; "
                "save model.state_dict() with torch.save in the program that made the file"
            ) from error
        raise CheckpointError(f"{path}: cut off, corrupt, or not a file that torch.save wrote") from error
    except Exception as error:  # a damaged archive makes torch raise almost anything
        detail = str(error).split("\n")[0][:100]
        reason = "cut off, corrupt, or not a file that torch.save wrote"
        raise CheckpointError(f"{path}: {reason} ({detail})") from error


def _named_tensors(content: Any, source: str) -> dict[str, Tensor]:
    # A dict may hold itself, directly or through others: each is looked into once.
    seen: set[int] = set()
    while isinstance(content, Mapping):
        if id(content) in seen:
            raise CheckpointError(f"{source}: not a state_dict, as its dicts hold themselves")
        seen.add(id(content))
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return {str(name): value.detach() for name, value in content.items()}
        inner = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if not inner:
            others = ", ".join(str(k) for k, v in content.items() if not isinstance(v, Tensor)) or "nothing"
            raise CheckpointError(
                f"{source}: not a state_dict, as it holds other than tensors ({others[:100]}), "
                f"and none under {', '.join(WRAPPERS)}"
            )
        content = content[inner[0]]
    raise CheckpointError(f"{source}: holds a {type(content).__name__}, not a dict of tensors")


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while common := [prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in tensors)]:
        tensors = {name[len(common[0]) :]: value for name, value in tensors.items()}
    return tensors
