"""Huber's function: squares for small differences, absolute values for large ones."""

from __future__ import annotations

from typing import Any

from ..arrays import Array, namespace
from ..operators.checks import as_number
from .base import Fidelity, register_fidelity


@register_fidelity("huber")
class Huber(Fidelity):
    """scale · Σ h(u − y), h(r) = r²/2 up to `delta`, then delta (|r| − delta/2): noise with outliers.

    Parameters
    ----------
    delta : float
        Where the square ends, in units of the measurement, > 0.
    scale : float, optional
        Factor in front, > 0; 1 / s² where most differences are Gaussian of deviation s.

    Raises
    ------
    ArgumentError
        If a number is not positive.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35, 1964.
    """

    def __init__(self, delta: float = 0.05, scale: float = 1.0) -> None:
        self.delta = as_number(delta, "delta")
        self.scale = as_number(scale, "scale")

    @property
    def curvature(self) -> float:
        """The scale."""
        return self.scale

    def _terms(self, u: Array, y: Array) -> Array:
        xp, r = namespace(u), u - y
        size = xp.abs(r)
        h = xp.where(size <= self.delta, 0.5 * r**2, self.delta * (size - 0.5 * self.delta))
        return self.scale * h

    def _grad(self, u: Array, y: Array) -> Array:
        return self.scale * namespace(u).clip(u - y, -self.delta, self.delta)

    def _prox(self, v: Array, y: Array, tau: Any) -> Array:
        # Moreau: the step along the gradient is that of the square, cut off at delta.
        r, tau = v - y, tau * self.scale
        return v - tau * namespace(v).clip(r / (1 + tau), -self.delta, self.delta)

    def _options(self) -> dict[str, Any]:
        return {"delta": self.delta} | ({} if self.scale == 1 else {"scale": self.scale})
