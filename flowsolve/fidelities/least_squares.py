"""Squared differences, plain and weighted: Gaussian noise of one level, or of a level per value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, HostArray
from ..errors import ArgumentError
from ..operators.checks import as_finite
from ..operators.config import encode_array
from .base import Fidelity, register_fidelity


@register_fidelity("least_squares")
class LeastSquares(Fidelity):
    """½‖u − y‖²: Gaussian noise."""

    @property
    def curvature(self) -> float:
        """1."""
        return 1.0

    def _terms(self, u: Array, y: Array) -> Array:
        return 0.5 * (u - y) ** 2

    def _grad(self, u: Array, y: Array) -> Array:
        return u - y

    def _prox(self, v: Array, y: Array, tau: Any) -> Array:
        return (v + tau * y) / (1 + tau)


@register_fidelity("weighted_least_squares")
class WeightedLeastSquares(Fidelity):
    """½ Σ w (u − y)²: Gaussian noise of variance 1/w, and other noise by its variance.

    Parameters
    ----------
    weights : array
        Finite numbers >= 0 that broadcast to the measurements of one image, or, with
        `per_image`, of the batch.
    per_image : bool, optional
        Whether the first axis of `weights` counts the images.

    Raises
    ------
    ArgumentError
        If a weight is negative or not finite, or all are 0.
    """

    def __init__(self, weights: Array, per_image: bool = False) -> None:
        host = as_finite(weights, "weights")
        if host.min() < 0 or not host.any():
            given = f"a weight of {host.min():g}" if host.min() < 0 else "zeros only"
            raise ArgumentError("weights", given, "numbers >= 0, not all 0")
        if per_image and host.ndim < 1:
            raise ArgumentError("weights", "one number", "one set per image, shape (N, ...)")
        self._weights, self.per_image = HostArray(host), bool(per_image)

    @property
    def weights(self) -> np.ndarray:
        """The weights, float64, read-only."""
        return self._weights.host

    @property
    def curvature(self) -> float:
        """The largest weight."""
        return float(self.weights.max())

    def select(self, indices: Sequence[int]) -> WeightedLeastSquares:
        """Return the fidelity with the weights of the images at `indices`."""
        if not self.per_image:
            return self
        return WeightedLeastSquares(self.weights[np.asarray(indices)], per_image=True)

    def _check(self, u: Array, y: Array) -> Any:
        xp, shape = super()._check(u, y), tuple(u.shape)
        given = self.weights.shape
        accepted = f"a shape that broadcasts to {shape if self.per_image else shape[1:]}"
        try:
            fits = np.broadcast_shapes(given, shape if self.per_image else shape[1:])
        except ValueError:
            raise ArgumentError("weights", f"shape {given}", accepted) from None
        if fits != (shape if self.per_image else shape[1:]):
            raise ArgumentError("weights", f"shape {given}", accepted)
        return xp

    def _terms(self, u: Array, y: Array) -> Array:
        return 0.5 * self._weights.like(u) * (u - y) ** 2

    def _grad(self, u: Array, y: Array) -> Array:
        return self._weights.like(u) * (u - y)

    def _prox(self, v: Array, y: Array, tau: Any) -> Array:
        weight = tau * self._weights.like(v)
        return (v + weight * y) / (1 + weight)

    def _options(self) -> dict[str, Any]:
        return {"weights": encode_array(self.weights), "per_image": self.per_image}
