"""What a Glow can be asked for: dtypes, memory modes; and how anything else is refused."""

from __future__ import annotations

import torch

from ..errors import ArgumentError
from ..priors.placement import checked_device as checked_device
from ..priors.placement import checked_dtype as checked_dtype

MEMORY_MODES = ("store", "checkpoint", "invertible", "auto")
"""What a gradient through the flow can keep (see :class:`~flowsolve.flows.prior.GlowPrior`)."""


def checked_coupling_dtype(coupling_dtype: torch.dtype | None, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of the couplings' networks; None stands for `dtype`, the flow's own.

    Raises
    ------
    ArgumentError
        If it is neither None, nor `dtype`, nor ``torch.bfloat16``.
    """
    if coupling_dtype not in (None, dtype, torch.bfloat16):
        raise ArgumentError("coupling_dtype", coupling_dtype, f"None, {dtype} or torch.bfloat16")
    return dtype if coupling_dtype is None else coupling_dtype


def checked_memory(memory: str) -> str:
    """Return `memory`, or raise :class:`ArgumentError` if it is not one of :data:`MEMORY_MODES`."""
    if memory not in MEMORY_MODES:
        raise ArgumentError("memory", repr(memory), " or ".join(repr(mode) for mode in MEMORY_MODES))
    return memory
