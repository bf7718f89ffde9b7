"""Arrays from files as images in [0, 1]: which axis is which, and what their values count from and to.

A file of numbers does not say either. What follows from shape and dtype is assumed and, where somebody could
have meant something else, said; what does not is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import ArgumentError
from .given import RANGE

LAYOUTS = ("HW", "CHW", "HWC", "NHW", "NCHW", "NHWC", "HWN", "HWCN")
"""Orders of axes: N images, C channels (1 or 3), H rows, W columns."""

CHANNELS = (1, 3)
"""Numbers of channels that images have."""

DEPTHS = (255, 65535)
"""Largest values of whole numbers that stand for 1."""


@dataclass(frozen=True)
class Reading:
    """How to take the numbers of files; None leaves it to what they look like.

    Attributes
    ----------
    layout : str, optional
        One of `LAYOUTS`, for arrays.
    range : (float, float), optional
        The values that stand for 0, black, and 1, white, in files of every kind.
    """

    layout: str | None = None
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in LAYOUTS:
            raise ArgumentError("layout", repr(self.layout), ", ".join(LAYOUTS))
        if self.range is not None and not (
            len(self.range) == 2 and np.isfinite(self.range).all() and self.range[0] < self.range[1]
        ):
            raise ArgumentError("range", self.range, "two finite numbers, the lower first")


AS_THEY_ARE = Reading()
"""Nothing is said about the files."""


def parse_range(text: str | None) -> tuple[float, float] | None:
    """Return the numbers of ``--range``: ``LOW,HIGH``, or ``HIGH`` alone from 0.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        low, high = numbers if len(numbers) == 2 else (0.0, *numbers)
    except ValueError:
        raise ArgumentError("range", repr(text), "LOW,HIGH, for example 0,4095") from None
    return low, high


def arranged(array: np.ndarray, layout: str | None = None) -> tuple[np.ndarray, str]:
    """Return an array as images (N, C, H, W), and what was assumed, in words ("" where nothing).

    Parameters
    ----------
    array : numpy.ndarray
        Two to four axes.
    layout : str, optional
        One of `LAYOUTS`.

    Raises
    ------
    ValueError
        If it has no such axes, or nothing says which they are; the message continues a sentence.
    """
    chosen = _layout_of(array.shape) if layout is None else layout
    if chosen is None or len(chosen) != array.ndim or 0 in array.shape:
        given = f"of shape {array.shape}" + (f" for the layout {layout}" if layout else "")
        raise ValueError(given)
    axes = {axis: place for place, axis in enumerate(chosen)}
    images = np.transpose(array, [axes[axis] for axis in "NCHW" if axis in axes])
    if "C" not in axes:
        images = images[..., None, :, :]
    if "N" not in axes:
        images = images[None]
    if images.shape[1] not in CHANNELS:
        raise ValueError(f"of shape {array.shape}, that is, {images.shape[1]} channels")
    plain = layout is not None or chosen in ("HW", "CHW", "NCHW")
    return images, "" if plain else f"of shape {array.shape}, taken as {chosen} (--layout says otherwise)"


def _layout_of(shape: tuple[int, ...]) -> str | None:
    first, last = ((shape[i] in CHANNELS) if shape else False for i in (0, -1))
    if len(shape) == 2:
        return "HW"
    if len(shape) == 3:
        return "CHW" if first else ("HWC" if last else "NHW")
    if len(shape) == 4:
        if shape[1] in CHANNELS:
            return "NCHW"
        return "NHWC" if last else ("HWCN" if shape[2] in CHANNELS else None)
    return None


def in_unit_range(
    values: np.ndarray, limits: tuple[float, float] | None = None, *, clean: bool = True
) -> tuple[np.ndarray, str]:
    """Return values of images in [0, 1], float32, and what was assumed, in words ("" where nothing).

    Parameters
    ----------
    values : numpy.ndarray
        Integers, booleans or floats.
    limits : (float, float), optional
        The values that stand for 0 and 1.
    clean : bool
        Whether they must lie in [0, 1] then; measurements with noise need not.

    Raises
    ------
    ValueError
        If they do not, or nothing says what stands for 1; the message continues a sentence.
    """
    low, high = float(values.min()), float(values.max())
    if limits is not None:
        scaled = (values.astype(np.float64) - limits[0]) / (limits[1] - limits[0])
        return _checked(scaled, low, high, clean, f"for the range {limits[0]:g} to {limits[1]:g}"), ""
    if values.dtype == np.uint8:
        return (values / 255).astype(np.float32), ""
    said = ""
    whole = values.dtype.kind in "ui" or (high > 1 and low >= 0 and bool((values == np.rint(values)).all()))
    if whole and (high > 1 or values.dtype == np.uint16) and low >= 0 and high <= DEPTHS[-1]:
        deep = values.dtype == np.uint16 or high > DEPTHS[0]
        largest = DEPTHS[-1] if deep else DEPTHS[0]
        values, said = values / largest, f"of whole numbers up to {high:g}, taken as 0 to {largest}"
        said += " (--range says otherwise)"
    return _checked(values, low, high, clean, ""), said


def _checked(values: np.ndarray, low: float, high: float, clean: bool, given: str) -> np.ndarray:
    margin = 1e-6
    outside = values.min() < -margin or values.max() > 1 + margin
    if (clean and outside) or np.abs(values).max() > RANGE:
        raise ValueError(f"with values from {low:g} to {high:g} {given}".rstrip())
    return values.astype(np.float32)
