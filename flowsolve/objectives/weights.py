"""What may be given as the weight lam of the prior term: one number for all images, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from ..errors import ArgumentError
from ..numbers import as_real, is_number

#: What `checked_weight` takes.
Weight: TypeAlias = float | Sequence[float] | np.ndarray | torch.Tensor

ACCEPTED = "'map', a multiple of it such as '0.3map', a finite number >= 0, or one for each image"


def map_factor(lam: object) -> float | None:
    """Return the factor of a multiple of the MAP weight such as ``0.3map`` or ``0.3 map``, or None."""
    if not (isinstance(lam, str) and lam.strip().endswith("map")):
        return None
    try:
        factor = float(lam.strip().removesuffix("map") or 1)
    except ValueError:
        return None
    return factor if 0 <= factor < float("inf") else None


def checked_weight(lam: Weight | str, n_images: int, device: torch.device) -> float | torch.Tensor:
    """Return one weight as a float, or weights of images as a tensor of shape (n_images,), float64.

    Raises
    ------
    ArgumentError
        If a weight is not a finite number >= 0, or there is not one for each image.
    """
    if isinstance(lam, list | tuple | np.ndarray | torch.Tensor) and not is_number(lam):
        weights = torch.as_tensor(lam, dtype=torch.float64, device=device).detach()
        if tuple(weights.shape) != (n_images,):
            given = f"weights of shape {tuple(weights.shape)}"
            raise ArgumentError("lam", given, f"one number, or one for each of the {n_images} images")
        if not (torch.isfinite(weights).all() and (weights >= 0).all()):
            raise ArgumentError("lam", weights.tolist(), ACCEPTED)
        return weights
    weight = as_real(lam, "lam", ACCEPTED)
    if weight < 0:
        raise ArgumentError("lam", repr(lam), ACCEPTED)
    return weight
