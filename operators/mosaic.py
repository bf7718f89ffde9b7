"""The colour mosaic in front of a camera's sensor: one colour measured at each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, HostArray, namespace
from ..errors import ArgumentError
from .base import LinearOperator
from .checks import as_shape
from .registration import register_operator

CHANNELS = {"r": 0, "g": 1, "b": 2}


@register_operator("mosaic")
class Mosaic(LinearOperator):
    """Keep one colour at each pixel, in a repeating pattern (restoring is demosaicking).

    Parameters
    ----------
    dim_shape : (3, int, int)
        Shape ``(3, H, W)`` of one image, red, green, blue; measurements are ``(1, H, W)``.
    pattern : str, optional
        Colours of the repeating tile, row by row, the rows apart by ``/`` or, for a tile of
        two by two, run together: ``"rggb"`` (default; Bayer, US patent 3 971 065, 1976) is
        ``"rg/gb"``. The tile starts at the image's first pixel.

    Raises
    ------
    ArgumentError
        If the image has not three channels, or the pattern is no rectangle of r, g and b.

    Notes
    -----
    A Aᵀ = I: every measured value is one value of the image.
    """

    def __init__(self, dim_shape: Sequence[int], pattern: str = "rggb") -> None:
        channels, height, width = as_shape(dim_shape, "dim_shape", 3)
        if channels != 3:
            raise ArgumentError("dim_shape", tuple(dim_shape), "three channels: (3, H, W)")
        super().__init__((3, height, width), (1, height, width))
        self.pattern = pattern
        tile = _tile(pattern)
        repeats = (-(-height // tile.shape[0]), -(-width // tile.shape[1]))
        colours = np.tile(tile, repeats)[:height, :width]
        self._masks = HostArray(colours == np.arange(3).reshape(3, 1, 1))

    @property
    def masks(self) -> np.ndarray:
        """Where each colour is measured: 0 and 1, shape ``(3, H, W)``, read-only."""
        return self._masks.host

    @property
    def has_closed_form(self) -> bool:
        """True: A Aᵀ is the identity."""
        return True

    def _apply(self, x: Array) -> Array:
        return namespace(x).sum(x * self._masks.like(x), axis=-3, keepdims=True)

    def _adjoint(self, y: Array) -> Array:
        return y * self._masks.like(y)

    def _gram(self, x: Array) -> Array:
        return x * self._masks.like(x)

    def _cogram_function(self, f: Any, y: Array) -> Array:
        return f(namespace(y).ones((1, 1, 1), dtype=y.dtype, device=y.device)) * y

    def _lipschitz(self) -> tuple[float, str]:
        return 1.0, "exact"

    def _options(self) -> dict[str, Any]:
        return {"dim_shape": list(self.dim_shape), "pattern": self.pattern}


def _tile(pattern: Any) -> np.ndarray:
    """Return the channel number at each place of the repeating tile."""
    accepted = "rows of the letters r, g and b, such as 'rggb' or 'rg/gb'"
    if not isinstance(pattern, str):
        raise ArgumentError("pattern", repr(pattern), accepted)
    text = pattern.lower()
    rows = [text[:2], text[2:]] if len(text) == 4 and "/" not in text else text.split("/")
    if len({len(row) for row in rows}) != 1 or not rows[0] or set("".join(rows)) - set(CHANNELS):
        raise ArgumentError("pattern", repr(pattern), accepted)
    return np.array([[CHANNELS[letter] for letter in row] for row in rows])
