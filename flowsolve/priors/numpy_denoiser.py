"""Denoisers of NumPy arrays, such as non-local means and BM3D, in the convention of `DenoiserPrior`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError

AXES = (-1, 0, None)
"""Where a function has the channels: last, as scikit-image and BM3D; first; or none, for grey images."""


class OnNumpy:
    """``denoiser(x, sigma)`` of torch images, by a function that takes one NumPy image.

    Parameters
    ----------
    function : callable
        ``function(image, sigma) -> image`` of one image in float64.
    channel_axis : {-1, 0, None}
        Where it has the channels: (H, W, C), (C, H, W), or None for one channel (H, W) at a time.

    Raises
    ------
    ArgumentError
        If `channel_axis` is another one.

    Examples
    --------
    >>> from skimage.restoration import denoise_nl_means
    >>> def non_local_means(image, sigma):
    ...     return denoise_nl_means(image, 3, 3, h=0.8 * sigma, sigma=sigma, channel_axis=-1)
    >>> OnNumpy(non_local_means)(torch.zeros(2, 3, 8, 8), 0.1).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self, function: Callable[[np.ndarray, float], np.ndarray], channel_axis: int | None = -1
    ) -> None:
        if not callable(function):
            raise ArgumentError("function", type(function).__name__, "a function of an image and sigma")
        if channel_axis not in AXES:
            raise ArgumentError("channel_axis", channel_axis, " or ".join(map(str, AXES)))
        self.function, self.channel_axis = function, channel_axis
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the images (N, C, H, W), each denoised by the function."""
        images = x.detach().cpu().numpy().astype(np.float64)
        return torch.as_tensor(np.stack([self._one(image, float(sigma)) for image in images])).to(x)

    def _one(self, image: np.ndarray, sigma: float) -> np.ndarray:
        if self.channel_axis is None:
            return np.stack([self._call(channel, sigma) for channel in image])
        moved = np.ascontiguousarray(np.moveaxis(image, 0, self.channel_axis))
        return np.moveaxis(self._call(moved, sigma), self.channel_axis, 0)

    def _call(self, image: np.ndarray, sigma: float) -> np.ndarray:
        out: Any = np.asarray(self.function(image, sigma))
        # Libraries drop an axis of a single channel.
        return out.reshape(image.shape) if out.size == image.size else out


def on_numpy(function: Callable[[np.ndarray, float], np.ndarray], channel_axis: int | None = -1) -> OnNumpy:
    """Return a denoiser for `DenoiserPrior` from a function of NumPy images; see `OnNumpy`."""
    return OnNumpy(function, channel_axis)
