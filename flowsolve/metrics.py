"""Image quality: PSNR and SSIM, per image, with images clipped to the range [0, 1] first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity

from .arrays import to_numpy
from .errors import ArgumentError
from .given import as_tensor, check_estimate, check_images

WINDOW = 7
"""Side of the window of SSIM, scikit-image's default."""


def psnr(x: Any, reference: Any) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each image in dB.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images, NumPy or torch, float32 or float64; clipped to [0, 1].
    reference : array, same shape
        What they should be, in [0, 1].

    Returns
    -------
    numpy.ndarray, shape (N,), float64
        ``-10 log10`` of the mean squared difference; infinite where there is none, NaN where an image has
        NaN.

    Raises
    ------
    ArgumentError
        If the shapes differ or are not batches of images, or the images are integers or in 0..255.
    """
    x, reference = _images(x, reference)
    return decibels(x, reference.to(x.device))


def ssim(x: Any, reference: Any) -> np.ndarray:
    """Return the structural similarity of each image.

    scikit-image's SSIM with its uniform 7×7 window, averaged over channels. The data range is 1,
    not the spread of the values, so that it does not depend on the image.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images, NumPy or torch, float32 or float64; clipped to [0, 1].
    reference : array, same shape
        What they should be, in [0, 1].

    Returns
    -------
    numpy.ndarray, shape (N,), float64

    Raises
    ------
    ArgumentError
        If the shapes differ, are not batches of images, or are smaller than the window; or the images are
        integers or in 0..255.
    """
    x, reference = (to_numpy(images) for images in _images(x, reference))
    if min(x.shape[-2:]) < WINDOW:
        raise ArgumentError("x", f"shape {tuple(x.shape)}", f"images of at least {WINDOW}x{WINDOW} pixels")
    pairs = zip(np.clip(x, 0, 1), np.clip(reference, 0, 1), strict=True)
    values = [
        structural_similarity(a.astype(np.float64), b.astype(np.float64), data_range=1.0, channel_axis=0)
        for a, b in pairs
    ]
    return np.array(values, dtype=np.float64)


def decibels(x: torch.Tensor, reference: torch.Tensor) -> np.ndarray:
    """Return what `psnr` does, for tensors that are known to be images: a run asks after every iteration."""
    difference = (x.detach().clamp(0, 1) - reference.detach().clamp(0, 1)).flatten(1)
    # Summed in float64, and one transfer from the device.
    squares = torch.linalg.vector_norm(difference, dim=1, dtype=torch.float64).square()
    error = (squares / difference.shape[1]).cpu().numpy()
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)


def _images(x: Any, reference: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both as tensors, or raise if they are not images of the same shape."""
    x, reference = as_tensor("x", x), as_tensor("reference", reference)
    if x.ndim != 4:
        raise ArgumentError("x", f"shape {tuple(x.shape)}", "images of shape (N, C, H, W)")
    if tuple(x.shape) != tuple(reference.shape):
        raise ArgumentError("reference", f"shape {tuple(reference.shape)}", f"{tuple(x.shape)}, that of x")
    if not x.numel():
        raise ArgumentError("x", f"shape {tuple(x.shape)}, an empty batch", "at least one image")
    check_images("reference", reference)
    check_estimate("x", x)
    return x, reference
