"""Measurements of any shape from files: what an operator that measures no image is given."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from .errors import ArgumentError
from .images import ImageSet, Source, decode, find_images
from .names import file_names

LOADED = ".npy"


def read_measurements(
    paths: Sequence[str | os.PathLike[str]], shape: Sequence[int], *, limit: int | None = None
) -> ImageSet:
    """Read measurements of a shape.

    Parameters
    ----------
    paths : sequence of path
        ``.npy`` files of shape `shape` or ``(N, *shape)``, real and finite; or images, whose channels are
        averaged where a measurement has one.
    shape : sequence of int
        Shape of one measurement.
    limit : int, optional
        Read no more than so many.

    Raises
    ------
    ArgumentError
        If a file cannot be read or has another shape.
    """
    shape, stacks, names = tuple(shape), [], []
    for source in find_images(paths):
        array = np.asarray(_load(source)) if source.suffix == LOADED else _of_image(decode(source), shape)
        array = array[None] if array.ndim == len(shape) else array
        if array.shape[1:] != shape or not len(array):
            accepted = f"measurements of shape {shape}, or (N, ...) of them"
            raise ArgumentError("images", f"{source.label} of shape {tuple(array.shape)}", accepted)
        stem = PurePosixPath(source.label.replace(os.sep, "/")).stem
        names += [stem] if len(array) == 1 else [f"{stem}-{i}" for i in range(len(array))]
        stacks.append(array.astype(np.float64))
    return ImageSet(np.concatenate(stacks)[:limit], file_names(names[:limit]))


def _load(source: Source) -> np.ndarray:
    accepted = "a .npy file of finite numbers"
    try:
        array = np.load(io.BytesIO(source.read()), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArgumentError("images", f"{source.label} ({error})", accepted) from None
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ArgumentError("images", f"{source.label} of dtype {array.dtype}", accepted)
    return array


def _of_image(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return images (n, 3, H, W) with the channels that measurements have."""
    return x.mean(1, keepdims=True) if len(shape) == 3 and shape[0] == 1 else x
