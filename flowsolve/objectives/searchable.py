"""What searches and descents need of what they minimise, and no more; an `Objective` has it."""

from __future__ import annotations

from typing import Protocol

import torch
from typing_extensions import Self

from .evaluation import Evaluation


class Searchable(Protocol):
    """A batch of functions that a search tries points of."""

    def __len__(self) -> int:
        """Return the number of images."""

    def evaluate(self, u: torch.Tensor, *, gradient: bool = True) -> Evaluation:
        """Return the value, and the gradient if asked for, at u, shape (N, ...)."""

    def select(self, index: torch.Tensor, /) -> Self:
        """Return the functions of the images at `index`."""

    def count(self, *names: str) -> None:
        """Count one of each of `names` of `flowsolve.tally.COUNTED` for every image."""


class Descendable(Searchable, Protocol):
    """A batch of functions that a descent goes down."""

    def require_smooth(self, who: str) -> None:
        """Raise `UnsupportedError` if there is no gradient."""
