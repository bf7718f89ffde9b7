"""What a network or a function is, as a SHA-256: the identity of a prior that no file of weights stands for.

Of a network it covers the class, its printed form and every tensor of its state; of a function its source,
defaults and what it closes over; of an object of another class the class and its attributes. What is none
of these (an open file, a lock) counts by its class alone. Give ``sha256=`` to a prior where that is not
what tells it from others.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

DEEPEST = 12
"""Nesting of objects beyond which only classes count."""


def fingerprint(*things: Any) -> str:
    """Return 64 hexadecimal digits that are the same for the same things in every process.

    Parameters
    ----------
    *things : object
        Networks, functions, arrays, numbers, texts, or objects and containers made of them.
    """
    digest = hashlib.sha256(b"flowsolve prior")
    _add(digest, things, 0)
    return digest.hexdigest()


def _add(digest: Any, thing: Any, depth: int) -> None:
    """Feed a thing to the digest, each kind after a word that tells it from the others."""
    if isinstance(thing, torch.Tensor):
        thing = thing.detach().cpu()
        _say(digest, "tensor", thing.dtype, tuple(thing.shape))
        digest.update(thing.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(thing, np.ndarray):
        _say(digest, "array", thing.dtype, thing.shape)
        digest.update(np.ascontiguousarray(thing).tobytes())
    elif thing is None or isinstance(
        thing, str | bytes | bool | int | float | complex | np.generic | torch.dtype
    ):
        _say(digest, "value", type(thing).__name__, repr(thing))
    elif depth > DEEPEST:
        _say(digest, "deep", _named(type(thing)))
    elif isinstance(thing, Mapping):
        _say(digest, "mapping", len(thing))
        for key in sorted(thing, key=repr):
            _say(digest, repr(key))
            _add(digest, thing[key], depth + 1)
    elif isinstance(thing, set | frozenset):
        _say(digest, "set", *sorted(map(repr, thing)))
    elif isinstance(thing, list | tuple):
        _say(digest, "sequence", len(thing))
        for part in thing:
            _add(digest, part, depth + 1)
    else:
        _add_object(digest, thing, depth)


def _add_object(digest: Any, thing: Any, depth: int) -> None:
    if isinstance(thing, nn.Module):
        _say(digest, "network", _named(type(thing)), repr(thing))
        _add(digest, dict(thing.state_dict()), depth + 1)
    elif isinstance(thing, functools.partial):
        _say(digest, "partial")
        _add(digest, [thing.func, thing.args, thing.keywords], depth + 1)
    elif inspect.ismethod(thing):
        _say(digest, "method", thing.__func__.__qualname__)
        _add(digest, [thing.__func__, thing.__self__], depth + 1)
    elif inspect.isfunction(thing):
        _say(digest, "function", _source(thing))
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        _add(digest, [thing.__defaults__, thing.__kwdefaults__, cells], depth + 1)
    elif isinstance(thing, type) or not hasattr(thing, "__dict__"):
        _say(
            digest,
            "named",
            _named(thing if isinstance(thing, type) else type(thing)),
            getattr(thing, "__name__", ""),
        )
    else:
        _say(digest, "object", _named(type(thing)))
        _add(digest, vars(thing), depth + 1)


def _source(function: Any) -> str:
    """Return a function's source, or where there is none, as typed at a prompt, its compiled code."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = function.__code__
        constants = [c for c in code.co_consts if not inspect.iscode(c)]
        return f"{code.co_code.hex()} {code.co_names} {constants}"


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _say(digest: Any, *words: object) -> None:
    digest.update(("\x00".join(map(str, words)) + "\x01").encode())
