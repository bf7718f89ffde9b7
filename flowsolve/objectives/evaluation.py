"""What an objective is at a point: value, terms, gradient and image of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch


@dataclass
class Evaluation:
    """The objective of a batch at one point; every field has the images as its first axis.

    Attributes
    ----------
    value : torch.Tensor, shape (N,), float64
        F = data_fidelity + lam * prior + extra (with a hard constraint F = prior + extra).
    data_fidelity : torch.Tensor, shape (N,), float64
        ½‖Ax − y‖², or another fidelity, of the image that is being optimised.
    prior : torch.Tensor, shape (N,), float64
        φ(x), or ψ(z), not multiplied by lam.
    image : torch.Tensor, shape (N, C, H, W)
        The restored image at this point.
    grad : torch.Tensor or None
        Gradient with respect to the variable, of its shape; None where it was not asked for.
    """

    value: torch.Tensor
    data_fidelity: torch.Tensor
    prior: torch.Tensor
    image: torch.Tensor
    grad: torch.Tensor | None = None

    def select(self, index: torch.Tensor) -> Evaluation:
        """Return the evaluation of the images at `index`."""
        return self._map(lambda a: a[index])

    def put(self, index: torch.Tensor, other: Evaluation) -> None:
        """Overwrite the images at `index` with those of `other`, in place."""
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            if mine is not None and theirs is not None:
                mine[index] = theirs

    def plus(self, other: Evaluation) -> Evaluation:
        """Return the sum of value, terms and gradient, at this image."""
        grad = None if self.grad is None or other.grad is None else self.grad + other.grad
        terms = (self.value + other.value, self.data_fidelity + other.data_fidelity, self.prior + other.prior)
        return Evaluation(*terms, self.image, grad)

    def scaled(self, factor: float, *, image: torch.Tensor) -> Evaluation:
        """Return value, terms and gradient times `factor`, at the image given."""
        grad = None if self.grad is None else factor * self.grad
        return Evaluation(factor * self.value, factor * self.data_fidelity, factor * self.prior, image, grad)

    def clone(self) -> Evaluation:
        """Return a copy that shares no memory."""
        return self._map(torch.clone)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Evaluation:
        grad = None if self.grad is None else change(self.grad)
        terms = (change(self.value), change(self.data_fidelity), change(self.prior))
        return Evaluation(*terms, change(self.image), grad)
