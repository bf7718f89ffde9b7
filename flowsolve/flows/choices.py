"""What a prior can be asked for: energies, dtypes, devices; and how anything else is refused."""

from __future__ import annotations

import torch

from ..errors import ArgumentError

PHIS = ("latent", "nll", "typical")
"""The energies: squared norm of the latent; that plus the log-determinant's share; distance of each level's
squared norm from its mean under the model (see :mod:`.energies`)."""

DTYPES = (torch.float32, torch.float64)
"""The dtypes of images and latents."""

MEMORY_MODES = ("store", "checkpoint", "invertible", "auto")
"""What a gradient through the flow can keep (see :class:`~flowsolve.flows.prior.FlowPrior`)."""


def checked_phi(phi: str) -> str:
    """Return `phi`, or raise :class:`ArgumentError` if it is not one of :data:`PHIS`."""
    if phi not in PHIS:
        raise ArgumentError("phi", repr(phi), " or ".join(repr(name) for name in PHIS))
    return phi


def checked_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return `dtype`, or raise :class:`ArgumentError` if it is not one of :data:`DTYPES`."""
    if dtype not in DTYPES:
        raise ArgumentError("dtype", dtype, " or ".join(str(known) for known in DTYPES))
    return dtype


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


def checked_device(device: str | torch.device) -> torch.device:
    """Return the device, or raise :class:`ArgumentError` if this machine does not have it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        there = "'cpu' or 'cuda'" if torch.cuda.is_available() else "'cpu' (there is no CUDA device here)"
        raise ArgumentError("device", repr(str(device)), there) from error
    return found
