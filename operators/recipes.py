"""Masks given as arrays, as encoded arrays of a configuration, or as recipes to draw them by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .checks import as_finite
from .config import decode_array, is_encoded_array


def resolve_mask(
    mask: Any, shape: tuple[int, ...] | None, recipes: Mapping[Any, Callable[..., np.ndarray]]
) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return the weights of a mask, and its recipe if it was given as one.

    Parameters
    ----------
    mask : array or mapping
        Finite weights; or ``{name: options}``.
    shape : tuple of int or None
        Shape ``(C, H, W)`` of one image, which a recipe needs.
    recipes : mapping of str to callable
        For each name a function of shape and options that returns weights.

    Returns
    -------
    weights : numpy.ndarray
    recipe : dict or None

    Raises
    ------
    ArgumentError
        If an array has values that are not finite, or there is no such recipe or option.
    """
    if is_encoded_array(mask):
        return decode_array(mask), None
    if not isinstance(mask, Mapping):
        return as_finite(mask, "mask"), None
    name, options = next(iter(mask.items())) if len(mask) == 1 else (None, None)
    if name not in recipes or not isinstance(options, Mapping):
        accepted = f"an array, or {{name: options}} with name {' or '.join(recipes)}"
        raise ArgumentError("mask", dict(mask), accepted)
    if shape is None:
        raise ArgumentError("dim_shape", None, f"a shape (C, H, W), which a {name} mask needs")
    try:
        return recipes[name](shape, **options), {str(name): dict(options)}
    except TypeError as error:
        raise ArgumentError("mask", error, f"the options of a {name} mask") from None
