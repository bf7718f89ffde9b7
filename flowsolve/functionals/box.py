"""The range constraint lower ≤ x ≤ upper."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError
from .base import Functional, register_functional


@register_functional("box")
class Box(Functional):
    """Indicator of lower ≤ x ≤ upper, pixel by pixel; its prox clips.

    Parameters
    ----------
    lower, upper : float
        Bounds in units of the image range; [0, 1] unless told.

    Raises
    ------
    ArgumentError
        If `lower` is not below `upper`.
    """

    def __init__(self, lower: float = 0.0, upper: float = 1.0) -> None:
        if not lower < upper:
            raise ArgumentError("lower, upper", (lower, upper), "lower < upper")
        self.lower, self.upper = float(lower), float(upper)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Return 0 where the whole image is inside, infinity elsewhere."""
        inside = ((x >= self.lower) & (x <= self.upper)).flatten(1).all(1)
        zero = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        return torch.where(inside, zero, torch.full_like(zero, torch.inf))

    def prox(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return v clipped to the box."""
        return v.clamp(self.lower, self.upper)

    def config(self) -> dict[str, Any]:
        """Return the bounds."""
        return {"name": "box", "lower": self.lower, "upper": self.upper}
