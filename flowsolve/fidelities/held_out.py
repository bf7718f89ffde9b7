"""Least squares on a part of the measurements, the rest kept to watch whether the image still gets better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..arrays import Array, HostArray
from ..errors import ArgumentError
from .base import Fidelity, register_fidelity

KNIGHT = 3
"""Squares that a row of squares held out is shifted against the row above."""


@register_fidelity("held_out_least_squares")
class HeldOutLeastSquares(Fidelity):
    """½‖u − y‖² over a random part of the measurements; those held out do not enter.

    Measurements (C, H, W) are held out pixel by pixel, in all channels: neighbouring channels of a pixel tell
    too much about each other. All images of a batch hold out the same ones. With lam="map" the weight of the
    prior is σ²/2, as for `LeastSquares`; a hard constraint would fit what is held out, so that σ = 0 needs a
    number for lam over images.

    Parameters
    ----------
    fraction : float, optional
        Part of the measurements that is held out, in (0, 1).
    seed : int, optional
        Which ones, >= 0.
    block : int, optional
        Measurements (C, H, W) are held out in squares of this side, evenly spread, instead of pixel by pixel:
        what a restoration fills a hole with is tested on holes. The squares are smaller where that few
        measurements have no room for as many as one is taken of.

    Raises
    ------
    ArgumentError
        If an option is out of range.
    """

    def __init__(self, fraction: float = 0.1, seed: int = 0, block: int = 1) -> None:
        if not isinstance(fraction, Real) or not (math.isfinite(fraction) and 0 < fraction < 1):
            raise ArgumentError("fraction", repr(fraction), "a number > 0 and < 1")
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
            raise ArgumentError("seed", repr(seed), "an integer >= 0")
        self.fraction: float = float(fraction)
        if not isinstance(block, Integral) or isinstance(block, bool) or block < 1:
            raise ArgumentError("block", repr(block), "an integer >= 1")
        self.seed: int = int(seed)
        self.block: int = int(block)
        self._masks: dict[tuple[int, ...], HostArray] = {}

    @property
    def curvature(self) -> float:
        """1."""
        return 1.0

    def held_out(self, shape: Sequence[int]) -> np.ndarray:
        """Return which measurements of an image are held out: booleans that broadcast to `shape`."""
        drawn = tuple(shape[-2:]) if len(shape) == 3 else tuple(shape)
        if self.block > 1 and len(shape) == 3:
            return self._blocks(drawn)
        count = max(1, round(self.fraction * math.prod(drawn)))
        order = np.random.default_rng(self.seed).permutation(math.prod(drawn))
        mask = np.zeros(math.prod(drawn), dtype=bool)
        mask[order[:count]] = True
        return mask.reshape(drawn)

    def _blocks(self, size: Sequence[int]) -> np.ndarray:
        """Return squares of a grid, evenly spread: a knight's move from row to row, so none are close."""
        every = max(2, round(1 / self.fraction))
        # Else all that there is may be a single square.
        side = min(self.block, max(1, math.isqrt(math.prod(size) // every)))
        rows, columns = (np.arange(n) // side for n in size)
        return (columns[None, :] + KNIGHT * rows[:, None] + self.seed) % every == 0

    def misfit(self, u: Array, y: Array) -> Array:
        """Return ½‖u − y‖² over what is held out, shape (N,), float64."""
        xp = self._check(u, y)
        terms = xp.astype(0.5 * (1 - self._kept(u)) * (u - y) ** 2, xp.float64)
        return xp.sum(xp.reshape(terms, (terms.shape[0], -1)), axis=1)

    def _kept(self, u: Array) -> Array:
        """Return 1 where measurements are fitted and 0 where they are held out, to broadcast against u."""
        shape = tuple(u.shape[1:])
        if shape not in self._masks:
            self._masks[shape] = HostArray(1.0 - self.held_out(shape))
        return self._masks[shape].like(u)

    def _terms(self, u: Array, y: Array) -> Array:
        return 0.5 * self._kept(u) * (u - y) ** 2

    def _grad(self, u: Array, y: Array) -> Array:
        return self._kept(u) * (u - y)

    def _prox(self, v: Array, y: Array, tau: Any) -> Array:
        weight = tau * self._kept(v)
        return (v + weight * y) / (1 + weight)

    def _options(self) -> dict[str, Any]:
        block = {} if self.block == 1 else {"block": self.block}
        return {"fraction": self.fraction, "seed": self.seed, **block}
