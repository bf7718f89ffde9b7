"""Memory for what a gradient keeps, used again by the next one.

The C library gives large blocks back to the system when they are freed, and the system hands
them out again page by page, each of them cleared first. For a flow whose gradient keeps tens of
megabytes, a few dozen times a second, that takes as long as a fifth of the convolutions. (On
GPUs torch keeps such memory itself.)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOST = 1 << 30
"""Bytes that a pool keeps at most while nobody uses them."""


@dataclass(frozen=True)
class Form:
    """What tensors have to share to stand for each other."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    layout: torch.memory_format

    def empty(self) -> Tensor:
        """Return an uninitialised tensor."""
        return torch.empty(self.shape, dtype=self.dtype, device=self.device, memory_format=self.layout)


class Pool:
    """Tensors that wait to be used again, by gradients in any thread.

    Copies, also those by pickling, start empty.
    """

    def __init__(self) -> None:
        self._free: dict[Form, list[Tensor]] = {}
        self._bytes = 0
        # Reentrant: a lease may be deleted, by the garbage collector, in the middle of these.
        self._lock = threading.RLock()

    @property
    def idle_bytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def take(self, form: Form) -> Tensor:
        """Return an uninitialised tensor."""
        with self._lock:
            waiting = self._free.get(form)
            if waiting:
                found = waiting.pop()
                self._bytes -= found.nbytes
                return found
        return form.empty()

    def give_back(self, tensors: list[tuple[Form, Tensor]]) -> None:
        """Let tensors be used again; those too many are freed, and so are all of other forms."""
        forms = {form for form, _ in tensors}
        with self._lock:
            for form in [form for form in self._free if form not in forms]:
                self._bytes -= sum(tensor.nbytes for tensor in self._free.pop(form, ()))
            for form, tensor in tensors:
                if self._bytes + tensor.nbytes <= MOST:
                    self._free.setdefault(form, []).append(tensor)
                    self._bytes += tensor.nbytes

    def __reduce__(self) -> Any:
        return Pool, ()


class Lease:
    """What one gradient has taken from a pool; given back when it is deleted.

    Parameters
    ----------
    pool : Pool
        Where it comes from.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken: list[tuple[Form, Tensor]] = []

    def take(self, form: Form) -> Tensor:
        """Return an uninitialised tensor."""
        tensor = self._pool.take(form)
        self._taken.append((form, tensor))
        return tensor

    def __del__(self) -> None:
        if self._taken:
            self._pool.give_back(self._taken)


def keep_freed_memory() -> None:
    """Let the C library keep blocks of some megabytes for the next ones of that size.

    glibc raises the size from which on it returns memory to the system each time that a larger
    block is freed, up to 32 MiB: one such block, which is never touched, makes it keep the
    activations of a convolution from one to the next. Elsewhere this does nothing.
    """
    torch.empty((32 << 20) - 8192, dtype=torch.uint8)
