"""Blur kernels as NumPy arrays, and the short descriptions that configs keep of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .checks import as_finite, as_pair
from .config import decode_array, is_encoded_array

ROUNDING = 1e-9
"""Lengths below this, in pixels, come from rounding."""


def _positive(value: Any, argument: str) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
        raise ArgumentError(argument, value, "a finite number > 0")
    return float(value)


def uniform(size: int | Sequence[int]) -> np.ndarray:
    """Return the kernel of a mean over a rectangle.

    Parameters
    ----------
    size : int or (int, int)
        Side, or rows and columns, >= 1.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(rows, columns)``, sum 1.

    Raises
    ------
    ArgumentError
        If a size is below 1.
    """
    rows, columns = as_pair(size, "size")
    return np.full((rows, columns), 1.0 / (rows * columns))


def gaussian(std: float | Sequence[float], size: int | Sequence[int] | None = None) -> np.ndarray:
    """Return a sampled Gaussian, normalised to sum 1.

    Parameters
    ----------
    std : float or (float, float)
        Standard deviation in pixels, or one for rows and one for columns, > 0.
    size : int or (int, int), optional
        Size of the window. Default: three standard deviations to either side.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(rows, columns)``, symmetric in its window.

    Raises
    ------
    ArgumentError
        If a standard deviation is not positive or a size is below 1.
    """
    pair = (std, std) if isinstance(std, Real) else std
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise ArgumentError("std", std, "a finite number > 0, or two: (rows, columns)")
    stds = [_positive(s, "std") for s in pair]
    sizes = [2 * math.ceil(3 * s) + 1 for s in stds] if size is None else list(as_pair(size, "size"))
    profiles = []
    for s, n in zip(stds, sizes, strict=True):
        x = np.arange(n) - (n - 1) / 2
        # Relative to the nearest sample, so that a narrow Gaussian does not underflow to 0/0.
        profile = np.exp(-0.5 * ((x / s) ** 2 - np.min((x / s) ** 2)))
        profiles.append(profile / profile.sum())
    return np.outer(*profiles)


def motion(length: float, angle: float = 0.0) -> np.ndarray:
    """Return the kernel of a uniform motion along a straight line.

    Each weight is the length of the line inside that pixel, computed exactly.

    Parameters
    ----------
    length : float
        Length of the line in pixels, > 0.
    angle : float, optional
        Direction in degrees, counter-clockwise from the horizontal.

    Returns
    -------
    numpy.ndarray
        float64, odd number of rows and columns, sum 1, unchanged by a half turn.

    Raises
    ------
    ArgumentError
        If `length` is not positive or `angle` not finite.
    """
    length = _positive(length, "length")
    if not isinstance(angle, Real) or not math.isfinite(float(angle)):
        raise ArgumentError("angle", angle, "a finite number of degrees")
    # Rows count downwards; rounding makes multiples of 90 degrees exactly axis-parallel.
    direction = np.round([-math.sin(math.radians(angle)), math.cos(math.radians(angle))], 12)
    ends = direction * length / 2
    # A line that ends, or turns a corner, within rounding of a pixel does not enter it.
    radius = [max(0, math.ceil(abs(e) - 0.5 - ROUNDING)) for e in ends]
    crossings = [np.array([-length / 2, length / 2])]
    for d, r in zip(direction, radius, strict=True):
        if d:
            crossings.append((np.arange(-r, r) + 0.5) / d)
    t = np.unique(np.clip(np.concatenate(crossings), -length / 2, length / 2))
    lengths = np.diff(t)
    lengths[lengths < ROUNDING] = 0.0
    middle = np.rint(np.outer((t[:-1] + t[1:]) / 2, direction)).astype(int)
    middle = np.clip(middle, -np.array(radius), radius)
    kernel = np.zeros((2 * radius[0] + 1, 2 * radius[1] + 1))
    np.add.at(kernel, (middle[:, 0] + radius[0], middle[:, 1] + radius[1]), lengths)
    return kernel / kernel.sum()


RECIPES: dict[Any, Callable[..., np.ndarray]] = {"uniform": uniform, "gaussian": gaussian, "motion": motion}


def resolve(kernel: Any, argument: str = "kernel") -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return a kernel array from an array or a recipe, and the recipe if it was one.

    Parameters
    ----------
    kernel : array or mapping
        An array of two axes (or three: one kernel per channel), or a recipe such as
        ``{"gaussian": {"std": 2.0}}``, or an array as configs encode it.
    argument : str, optional
        Name for the messages.

    Returns
    -------
    kernel : numpy.ndarray
        float64.
    recipe : dict or None
        The recipe, for a config.

    Raises
    ------
    ArgumentError
        If it is neither, not finite, or all zero.
    """
    recipe: dict[str, Any] | None = None
    if is_encoded_array(kernel):
        kernel = decode_array(kernel)
    elif isinstance(kernel, Mapping):
        name, options = next(iter(kernel.items())) if len(kernel) == 1 else (None, None)
        if name not in RECIPES or not isinstance(options, Mapping):
            accepted = "an array, or {name: options} with a name from: " + ", ".join(RECIPES)
            raise ArgumentError(argument, dict(kernel), accepted)
        recipe = {str(name): dict(options)}
        try:
            kernel = RECIPES[name](**options)
        except TypeError as error:
            raise ArgumentError(argument, error, f"the options of the {name} kernel") from None
    host = as_finite(kernel, argument)
    if host.ndim not in (2, 3):
        raise ArgumentError(argument, f"shape {host.shape}", "shape (kh, kw), or (C, kh, kw) per channel")
    if not host.any():
        raise ArgumentError(argument, "a kernel of zeros", "a kernel with an entry that is not 0")
    return host, recipe


def of_channels(kernel: Any, channels: int) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return the kernels of an image, shape ``(1, kh, kw)`` or ``(channels, kh, kw)``, and the recipe.

    Parameters
    ----------
    kernel : array or mapping
        As for :func:`resolve`.
    channels : int
        Channels of the image.

    Raises
    ------
    ArgumentError
        As :func:`resolve`, or if there is neither one kernel nor one for each channel.
    """
    host, recipe = resolve(kernel)
    if host.ndim == 2:
        return host[None], recipe
    if host.shape[0] not in (1, channels):
        raise ArgumentError("kernel", f"{host.shape[0]} kernels", f"one, or one per channel ({channels})")
    return host, recipe
