"""Images of any size, for a network whose levels each halve the height and the width.

An image is reflected at its lower and right edges to the next multiple of ``2**levels``; what was added
is cut off again on the way back. So E(x) is the latent of the reflected image, a few values longer than x,
and D(E(x)) = x still holds.
"""

from __future__ import annotations

import torch
from torch import Tensor


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return the smallest height and width that hold `size` and are multiples of `multiple`."""
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def reflect(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image continued by reflection, without repeating the edge.

    Parameters
    ----------
    x : Tensor
        Images (..., H, W).
    size : (int, int)
        Height and width to reach, not smaller than those of `x`.

    Returns
    -------
    Tensor
        (..., height, width); `x` itself where nothing is to be added.
    """
    for axis, side in zip((-2, -1), size, strict=True):
        if x.shape[axis] != side:
            x = x.index_select(axis, _reflected(x.shape[axis], side).to(x.device))
    return x


def crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the upper left part of images (..., H, W), of this height and width."""
    return x[..., : size[0], : size[1]]


def _reflected(side: int, longer: int) -> Tensor:
    """Return which of `side` positions each of `longer` shows: 0 1 2 3 2 1 0 1 2 ..."""
    # An image narrower than half the multiple is reflected several times.
    period = max(2 * (side - 1), 1)
    place = torch.arange(longer) % period
    return torch.minimum(place, period - place) if side > 1 else torch.zeros_like(place)
