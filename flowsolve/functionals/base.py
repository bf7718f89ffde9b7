"""What a term must offer to take part in forward-backward splitting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch


class Functional(ABC):
    """A convex term g over images, one value and one proximal step per image of a batch."""

    @abstractmethod
    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Return g(x), shape (N,), float64; 0 or infinity for an indicator.

        Parameters
        ----------
        x : torch.Tensor, shape (N, C, H, W)
            Images.
        """

    @abstractmethod
    def prox(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return argmin over x of g(x) + ‖x − v‖²/(2 tau), of the shape and dtype of v.

        Parameters
        ----------
        v : torch.Tensor, shape (N, C, H, W)
            Images.
        tau : torch.Tensor, shape (N,)
            Positive step of every image.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return a JSON-able description for the run record."""
