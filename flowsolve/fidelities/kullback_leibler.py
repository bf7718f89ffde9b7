"""The Kullback–Leibler divergence: Poisson noise."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import Array, namespace
from ..errors import ArgumentError
from ..operators.checks import as_number
from .base import Fidelity, register_fidelity


@register_fidelity("kullback_leibler")
class KullbackLeibler(Fidelity):
    """peak · Σ (w − y + y log(y / w)) with w = u + background: Poisson noise.

    The negative log-likelihood of y = Poisson(peak · w) / peak, up to a constant; 0 where
    w = y, infinite where w < 0, or where w = 0 and y > 0.

    Parameters
    ----------
    peak : float, optional
        Photons where w is 1, > 0.
    background : float, optional
        What is measured where the image is black, >= 0. With a background > 0 the gradient
        stays finite at u = 0.
    floor : float, optional
        Where w is below it, the divergence goes on as a parabola of the same value and slope, so that values
        and gradients are finite everywhere and a descent can come back from w <= 0; 0 for never. One photon,
        1 / peak, changes little: where nothing was counted the parabola is lowest at w = 0.

    Raises
    ------
    ArgumentError
        If an option is out of range; later, if a measurement is negative.

    References
    ----------
    Combettes and Pesquet, "A Douglas–Rachford splitting approach to nonsmooth convex
    variational signal recovery", IEEE J. Sel. Top. Signal Process. 1, 2007 (the prox).
    """

    def __init__(self, peak: float = 1.0, background: float = 0.0, floor: float = 0.0) -> None:
        self.peak = as_number(peak, "peak")
        self.background = as_number(background, "background", zero=True)
        self.floor = as_number(floor, "floor", zero=True)

    def _check(self, u: Array, y: Array) -> Any:
        xp = super()._check(u, y)
        if bool(xp.any(y < 0)):
            raise ArgumentError(
                "y", f"a value of {float(xp.min(y)):.3g}", "values >= 0, as photon counts are"
            )
        return xp

    def _terms(self, u: Array, y: Array) -> Array:
        w = u + self.background
        if not self.floor:
            return self._divergence(w, y)
        xp, below = namespace(u), w - self.floor
        level = self._divergence(xp.full_like(w, self.floor), y)
        slope, bend = self._parabola(y)
        return xp.where(below < 0, level + slope * below + 0.5 * bend * below**2, self._divergence(w, y))

    def _divergence(self, w: Array, y: Array) -> Array:
        xp = namespace(w)
        both, one = (y > 0) & (w > 0), xp.ones_like(w)
        logs = xp.where(both, y * xp.log(xp.where(both, y / xp.where(both, w, one), one)), xp.zeros_like(w))
        outside = (w < 0) | ((w == 0) & (y > 0))
        return xp.where(outside, xp.full_like(w, math.inf), self.peak * (w - y + logs))

    def _parabola(self, y: Array) -> tuple[Array, Array]:
        """Return slope and curvature of what the divergence goes on as below the floor."""
        # Where less was counted than the floor it bends as if that had been; at y = 0 not at all otherwise.
        counted = namespace(y).clip(y, self.floor, None)
        return self.peak * (1 - y / self.floor), self.peak * counted / self.floor**2

    def _grad(self, u: Array, y: Array) -> Array:
        xp, w = namespace(u), u + self.background
        # Outside of the domain there is no gradient: not-a-number says so to who asks.
        if not self.floor:
            inside = xp.where(w > 0, w, xp.full_like(u, math.nan))
            return self.peak * (1 - xp.where(y == 0, xp.zeros_like(u), y / inside))
        slope, bend = self._parabola(y)
        above = self.peak * (1 - y / xp.clip(w, self.floor, None))
        return xp.where(w < self.floor, slope + bend * (w - self.floor), above)

    def _prox(self, v: Array, y: Array, tau: Any) -> Array:
        w = self._prox_of_divergence(v, y, tau)
        if self.floor:
            slope, bend = self._parabola(y)
            low = (v + self.background + tau * (bend * self.floor - slope)) / (1 + tau * bend)
            w = namespace(v).where(w < self.floor, low, w)
        return w - self.background

    def _prox_of_divergence(self, v: Array, y: Array, tau: Any) -> Array:
        xp, step = namespace(v), tau * self.peak
        centre = v + self.background - step
        root = xp.sqrt(centre**2 + 4 * step * y)
        # The positive root of w² − centre · w − step · y, without cancellation for either sign.
        away = centre < 0
        safe = xp.where(away, root - centre, xp.ones_like(v))
        return xp.where(away, 2 * step * y / safe, (centre + root) / 2)

    def _options(self) -> dict[str, Any]:
        floor = {"floor": self.floor} if self.floor else {}
        return {"peak": self.peak, "background": self.background, **floor}
