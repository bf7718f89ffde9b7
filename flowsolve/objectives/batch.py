"""Sums over each image of a batch, and numbers of images spread over it."""

from __future__ import annotations

import torch


def sum_squares(a: torch.Tensor) -> torch.Tensor:
    """Return ‖a‖² of every image, shape (N,), summed in float64."""
    return torch.linalg.vector_norm(a.flatten(1), dim=1, dtype=torch.float64).square()


def inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the inner product ⟨a, b⟩ of every image, shape (N,), summed in float64."""
    return (a.flatten(1) * b.flatten(1)).sum(1, dtype=torch.float64)


def per_image(scalars: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return scalars of shape (N,) shaped and typed to multiply the batch `like`."""
    return scalars.to(like.dtype).reshape(-1, *([1] * (like.ndim - 1)))
