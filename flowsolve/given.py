"""Arrays that a user gives: images as float tensors in [0, 1], or a message that says what to do."""

from __future__ import annotations

import math
from typing import Any

import torch

from . import arrays
from .errors import ArgumentError

RANGE = 16.0
"""Images with values beyond this are in 0..255, or in grey levels of still more bits, not in [0, 1]."""

BRIGHT = 4.0
"""Estimates may lie outside [0, 1]. Those that are nowhere negative, beyond `RANGE` somewhere and above this
in the mean are in 0..255."""


def as_tensor(argument: str, value: Any) -> torch.Tensor:
    """Return an array as a tensor of float32 or float64.

    Parameters
    ----------
    argument : str
        Its name, for the message.
    value : array or nested sequence of numbers
        NumPy, CuPy, torch or of another array library.

    Raises
    ------
    ArgumentError
        If it is no array of numbers, or of another dtype.
    """
    try:
        tensor = arrays.to_torch(value)
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentError(argument, type(value).__name__, arrays.ARRAYS) from None
    if tensor.dtype not in (torch.float32, torch.float64):
        integers = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
        hint = "; divide images in 0..255 by 255, those in 0..65535 by 65535" if integers else ""
        given = f"dtype {tensor.dtype}"
        raise ArgumentError(argument, given, f"float32 or float64, with images in [0, 1]{hint}")
    return tensor


def check_images(argument: str, images: torch.Tensor) -> None:
    """Check that clean images are finite and not in 0..255.

    Raises
    ------
    ArgumentError
        If they are not.
    """
    if not torch.isfinite(images).all():
        raise ArgumentError(argument, "NaN or infinite values", "finite values")
    if images.numel() and float(images.detach().abs().max()) > RANGE:
        _refuse(argument, images)


def check_estimate(argument: str, images: torch.Tensor) -> None:
    """Check that estimates of images, which may have any values, are not plainly in 0..255.

    Raises
    ------
    ArgumentError
        If they are.
    """
    images = images.detach()
    if images.numel() and float(images.max()) > RANGE and float(images.min()) >= 0:
        mean = float(images.mean(dtype=torch.float64))
        if mean > BRIGHT and math.isfinite(mean) and float(images.max()) <= 255:
            _refuse(argument, images)


def check_measurements(argument: str, y: torch.Tensor, operator: Any, sigma: float) -> None:
    """Check that measurements can be those of images in [0, 1], with room for noise and errors.

    Raises
    ------
    ArgumentError
        If they are far too large for it, as those of images in 0..255 are.
    """
    y = y.detach()
    if not float(y.abs().max()) > RANGE:
        return
    largest = operator.lipschitz * math.sqrt(math.prod(operator.dim_shape)) + sigma * math.sqrt(y[0].numel())
    if float(torch.linalg.vector_norm(y.flatten(1), dim=1).max()) > RANGE * largest:
        _refuse(argument, y)
    # Dark images in 0..255 have a small norm. Where a white image is measured as numbers that are nowhere
    # negative, as by a blur, a mask or a tomograph, no image gives much larger ones.
    white = operator.apply(torch.ones((1, *operator.dim_shape), dtype=y.dtype, device=y.device))
    if float(white.min()) < 0:
        return
    telling = white > 0.01 * white.max()
    if bool((telling & (y > RANGE * (white + sigma))).any()):
        _refuse(argument, y)


def _refuse(argument: str, images: torch.Tensor) -> None:
    low, high = float(images.min()), float(images.max())
    accepted = "images in [0, 1], or what is measured of them; divide images in 0..255 by 255"
    if high > 255:
        accepted += ", those in 0..65535 by 65535"
    raise ArgumentError(argument, f"values from {low:.4g} to {high:.4g}", accepted)
