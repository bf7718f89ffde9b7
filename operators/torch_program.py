"""Steps on torch tensors that are written down once and repeated, with the memory they need."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import torch_fast

if TYPE_CHECKING:
    import torch

SCRATCH = 6 << 18
"""Numbers of memory kept for temporaries; what goes beyond is allocated."""

_KEPT = threading.local()


def kept() -> dict[str, Any]:
    """Return what this thread keeps from call to call."""
    return _KEPT.__dict__


class Program:
    """The steps that filter one tile, for one shape of tile.

    Temporaries lie in memory that a thread keeps from call to call: the allocator would give
    such sizes back to the system and take them anew, filled with zeros a page at a time.

    Parameters
    ----------
    dtype : torch.dtype
        Of all numbers.
    wide, entry : sequence of int
        Shapes of the tile with its columns extended, and of the tile with its rows extended.

    Attributes
    ----------
    wide, entry : torch.Tensor
        Memory for both; the tile is to be put into `entry` before :meth:`run`.
    """

    def __init__(self, dtype: torch.dtype, wide: Sequence[int], entry: Sequence[int]) -> None:
        self.dtype, self._used = dtype, 0
        self._memory = scratch(dtype)
        self._steps: list[Callable[[], Any]] = []
        self._last: list[Callable[[torch.Tensor], Any]] = []
        self.wide = self.take(wide)
        self._kept = self._used
        self.entry = self.take(entry)

    def take(self, shape: Sequence[int]) -> torch.Tensor:
        """Return memory of a shape, which nothing else of this program uses."""
        import torch

        start, self._used = self._used, self._used + math.prod(shape)
        if self._used > len(self._memory):
            return torch.empty(*shape, dtype=self.dtype)
        return self._memory[start : self._used].view(*shape)

    def release(self) -> None:
        """Let all memory be used again but that of :attr:`wide`."""
        self._used = self._kept

    def do(self, step: Callable[[], Any]) -> None:
        """Write down a step."""
        self._steps.append(step)

    def do_last(self, step: Callable[[torch.Tensor], Any]) -> None:
        """Write down one of the last steps, which writes to the result it is given."""
        self._last.append(step)

    def run(self, out: torch.Tensor) -> None:
        """Filter what stands in :attr:`entry` into `out`."""
        for step in self._steps:
            step()
        for last in self._last:
            last(out)


def scratch(dtype: torch.dtype) -> torch.Tensor:
    """Return the memory that this thread keeps for temporaries of a dtype."""
    import torch

    name, memory = f"memory {dtype}", kept()
    if name not in memory:
        # Memory made in inference mode could not be written to outside of it.
        with torch.inference_mode(False):
            memory[name] = torch_fast.empty((SCRATCH,), dtype)
    return memory[name]
