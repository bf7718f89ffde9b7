"""Compiled loops over torch tensors in CPU memory: which tensors they take, and several threads at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .torch_fast import usable

if TYPE_CHECKING:
    import torch

ALONE = 1 << 21
"""Values up to which one thread is as fast as several, which take time to wake."""


def compilable(x: Any) -> bool:
    """Return whether compiled loops take `x`: a plain float32 or float64 tensor in CPU memory."""
    if not usable(x):
        return False
    import torch

    # NumPy cannot see a tensor whose values torch negates as they are read.
    return x.dtype in (torch.float32, torch.float64) and not x.is_neg()


def host(x: torch.Tensor) -> np.ndarray:
    """Return a tensor that :func:`compilable` accepts as an array of the same memory."""
    return (x.detach() if x.requires_grad else x).numpy()


def in_threads(run: Callable[[int, int], None], count: int, values: int) -> None:
    """Call ``run(first, last)`` for ranges that make up ``range(count)``, in as many threads as torch uses.

    Parameters
    ----------
    run : callable
        What does the work, without Python's lock.
    count : int
        Number of items.
    values : int
        Values that they read or write, of which few are left to one thread.
    """
    import torch

    if values <= ALONE or count < 2 or torch.get_num_threads() == 1:
        run(0, count)
        return
    cuts = np.linspace(0, count, min(torch.get_num_threads(), count) + 1).astype(int).tolist()
    (first, *others) = pairwise(cuts)
    waiting = [_pool(os.getpid()).submit(run, *part) for part in others]
    run(*first)
    for part in waiting:
        part.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of a process: one that was forked has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="flowsolve-loops")
