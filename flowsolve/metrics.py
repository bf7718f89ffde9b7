"""Image quality: PSNR and SSIM, per image, with images clipped to the range [0, 1] first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity

from .arrays import to_numpy, to_torch
from .errors import ArgumentError

WINDOW = 7
"""Side of the window of SSIM, scikit-image's default."""


def psnr(x: Any, reference: Any) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each image in dB.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images, NumPy or torch; clipped to [0, 1].
    reference : array, same shape
        What they should be.

    Returns
    -------
    numpy.ndarray, shape (N,), float64
        ``-10 log10`` of the mean squared difference; infinite where there is none.

    Raises
    ------
    ArgumentError
        If the shapes differ or are not batches of images.
    """
    x, reference = to_torch(x).detach(), to_torch(reference).detach()
    _check(x, reference)
    reference = reference.to(x.device)
    difference = (x.clamp(0, 1) - reference.clamp(0, 1)).flatten(1)
    # Summed in float64, and one transfer from the device: this runs after every iteration.
    squares = torch.linalg.vector_norm(difference, dim=1, dtype=torch.float64).square()
    error = (squares / difference.shape[1]).cpu().numpy()
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)


def ssim(x: Any, reference: Any) -> np.ndarray:
    """Return the structural similarity of each image.

    scikit-image's SSIM with its uniform 7×7 window, averaged over channels. The data range is 1,
    not the spread of the values, so that it does not depend on the image.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images, NumPy or torch; clipped to [0, 1].
    reference : array, same shape
        What they should be.

    Returns
    -------
    numpy.ndarray, shape (N,), float64

    Raises
    ------
    ArgumentError
        If the shapes differ, are not batches of images, or are smaller than the window.
    """
    x, reference = to_numpy(x), to_numpy(reference)
    _check(x, reference)
    if min(x.shape[-2:]) < WINDOW:
        raise ArgumentError("x", f"shape {tuple(x.shape)}", f"images of at least {WINDOW}x{WINDOW} pixels")
    pairs = zip(np.clip(x, 0, 1), np.clip(reference, 0, 1), strict=True)
    values = [
        structural_similarity(a.astype(np.float64), b.astype(np.float64), data_range=1.0, channel_axis=0)
        for a, b in pairs
    ]
    return np.array(values, dtype=np.float64)


def _check(x: Any, reference: Any) -> None:
    if x.ndim != 4:
        raise ArgumentError("x", f"shape {tuple(x.shape)}", "images of shape (N, C, H, W)")
    if tuple(x.shape) != tuple(reference.shape):
        raise ArgumentError("reference", f"shape {tuple(reference.shape)}", f"{tuple(x.shape)}, that of x")
