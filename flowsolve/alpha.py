"""The alpha channel of images as a mask: what is opaque was measured."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from .errors import ArgumentError
from .images import find_images, open_image

ALPHA = "alpha"
"""In the place of a mask's file."""

OPAQUE = 1 - 1e-6
"""Opacity from which a pixel was measured: of any less the colour is not known."""


def read_alpha(paths: Sequence[str | os.PathLike[str]], limit: int | None = None) -> np.ndarray:
    """Return masks of images: 1 where a pixel is opaque, 0 where it is not.

    Parameters
    ----------
    paths : sequence of path
        As for `flowsolve.images.read_images`.
    limit : int, optional
        Of no more than so many images.

    Returns
    -------
    numpy.ndarray, shape (N, 1, H, W), float64

    Raises
    ------
    ArgumentError
        If an image has no transparent pixel, or they differ in size.
    """
    masks: list[np.ndarray] = []
    for source in find_images(paths):
        if limit is not None and len(masks) >= limit:
            break
        alpha = None if source.suffix == ".npy" else open_image(source, "mask").alpha
        if alpha is None:
            given = f"alpha, but {source.label} has no transparent pixel"
            raise ArgumentError("mask", given, "images with an alpha channel, or a mask's file")
        if masks and alpha.shape != masks[0].shape:
            height, width = masks[0].shape
            raise ArgumentError("images", source.label, f"images of one size; the first is {width}x{height}")
        masks.append((np.asarray(alpha) >= OPAQUE).astype(np.float64))
    return np.stack(masks)[:, None]
