"""Huber's function: squares for small differences, absolute values for large ones."""

from __future__ import annotations

from typing import Any

from ..arrays import Array, namespace
from ..operators.checks import as_number
from .base import Fidelity, register_fidelity


@register_fidelity("huber")
class Huber(Fidelity):
    """Σ h(u − y), h(r) = r²/2 up to `delta`, then delta (|r| − delta/2): noise with outliers.

    Parameters
    ----------
    delta : float
        Where the square ends, in units of the measurement, > 0.

    Raises
    ------
    ArgumentError
        If `delta` is not positive.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35, 1964.
    """

    def __init__(self, delta: float = 0.05) -> None:
        self.delta = as_number(delta, "delta")

    @property
    def curvature(self) -> float:
        """1."""
        return 1.0

    def _terms(self, u: Array, y: Array) -> Array:
        xp, r = namespace(u), u - y
        size = xp.abs(r)
        return xp.where(size <= self.delta, 0.5 * r**2, self.delta * (size - 0.5 * self.delta))

    def _grad(self, u: Array, y: Array) -> Array:
        return namespace(u).clip(u - y, -self.delta, self.delta)

    def _prox(self, v: Array, y: Array, tau: Any) -> Array:
        # Moreau: the step along the gradient is that of the square, cut off at delta.
        r = v - y
        return v - tau * namespace(v).clip(r / (1 + tau), -self.delta, self.delta)

    def _options(self) -> dict[str, Any]:
        return {"delta": self.delta}
