"""Where and in what a prior computes, and how anything else is refused."""

from __future__ import annotations

import torch

from ..errors import ArgumentError

DTYPES = (torch.float32, torch.float64)
"""The dtypes of images and latents."""


def checked_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return `dtype`, or raise :class:`ArgumentError` if it is not one of :data:`DTYPES`."""
    if dtype not in DTYPES:
        raise ArgumentError("dtype", dtype, " or ".join(str(known) for known in DTYPES))
    return dtype


def checked_device(device: str | torch.device) -> torch.device:
    """Return the device, or raise :class:`ArgumentError` if this machine does not have it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        there = "'cpu' or 'cuda'" if torch.cuda.is_available() else "'cpu' (there is no CUDA device here)"
        raise ArgumentError("device", repr(str(device)), there) from error
    return found
