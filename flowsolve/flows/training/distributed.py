"""Several processes as one run: who this process is, and what the processes tell each other.

Started by torchrun, or with its environment variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT); without them, a run of one process, in which everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import FlowsolveError
from ..choices import checked_device

Result = TypeVar("Result")


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Parameters
    ----------
    rank : int
        This process's number; 0 writes the files.
    size : int
        How many there are.
    device : torch.device
        Where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module with gradients averaged over the processes."""
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)

    def sum(self, values: Iterable[float]) -> list[float]:
        """Return the sum over the processes of each of some numbers."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def same(self, value: Any) -> Any:
        """Return what the first process has (anything that pickles) in all of them."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0, device=self.device)
        return held[0]

    def by_first(self, function: Callable[[], Result]) -> Result:
        """Return what `function` returns in the first process, the only one to call it.

        Raises
        ------
        FlowsolveError
            In every process, if the first one met it: the others would wait for ever.
        """
        result, problem, error = None, None, None
        if self.first:
            try:
                result = function()
            except FlowsolveError as caught:
                error, problem = caught, str(caught)
        result, problem = self.same((result, problem))
        if error is not None:
            raise error
        if problem is not None:
            raise FlowsolveError(problem)
        return result

    def same_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


@contextmanager
def join_world(device: str | torch.device) -> Iterator[World]:
    """Join the run's other processes for the time of a ``with`` statement.

    Parameters
    ----------
    device : str or torch.device
        Where to compute; ``cuda`` without a number is the GPU of the local rank.

    Raises
    ------
    ArgumentError
        If this machine does not have the device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, checked_device(device))
        return
    if str(device) == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    place = checked_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), place)
    finally:
        if joined:
            dist.destroy_process_group()
