"""Images from files, folders and zips, as float arrays in [0, 1].

What a file does not say of its values is assumed where there is one answer, and then said, and asked for
where there is not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import array_files
from .array_files import read_array, split_inner
from .decoding import SUFFIXES, Decoded, decode_image, decode_pages
from .errors import ArgumentError
from .layouts import AS_THEY_ARE, LAYOUTS, Reading, arranged, in_unit_range
from .names import file_names
from .sources import ACCEPTED, Source, file_source, find_images, missing, read_source

SCALES = ("normalise", "as-is")
"""What can be done to a blur kernel whose sum is not 1."""

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are in a grey image (ITU-R BT.601)."""

_log = logging.getLogger("flowsolve")


class ImageSet(NamedTuple):
    """Images and what they are called.

    Attributes
    ----------
    x : numpy.ndarray, shape (N, C, H, W), float32
        The images.
    names : list of str
        A name for each, without folder and suffix, that a file can have; no two are equal.
    """

    x: np.ndarray
    names: list[str]


@dataclass(frozen=True)
class LoadedImage:
    """One image as it is in its file.

    Attributes
    ----------
    x : numpy.ndarray, shape (1, H, W) or (3, H, W), float32
        Grey or RGB, in [0, 1].
    name : str
        As in an `ImageSet`.
    source : str
        Where it is from: a file, with what is within it after a colon.
    """

    x: np.ndarray
    name: str
    source: str


def read_each(
    paths: Sequence[str | os.PathLike[str]],
    *,
    limit: int | None = None,
    reading: Reading = AS_THEY_ARE,
    clean: bool = True,
    argument: str = "images",
    check: Callable[[Source, np.ndarray], None] = lambda source, x: None,
) -> list[LoadedImage]:
    """Read images of any sizes, grey or RGB, as float32 in [0, 1].

    An image whose three channels are equal is grey. Transparent ones are laid on white; of an animation the
    first frame is taken, of a TIFF every page; the EXIF orientation is applied; 16 bits stay 16 bits. What
    had to be assumed about arrays is said through the logger ``flowsolve``.

    Parameters
    ----------
    paths : sequence of path
        As for `find_images`.
    limit : int, optional
        Read no more than so many images; further files are not opened.
    reading : Reading, optional
        Axes and range of the values, where files do not say what is meant.
    clean : bool
        Whether values must lie in [0, 1]; measurements with noise need not.
    argument : str
        Name of the argument, for messages.
    check : callable, optional
        Called with each source and its images (n, C, H, W), before the next is opened.

    Raises
    ------
    ArgumentError
        If a file is missing or corrupt, or has values that are not finite or of no known range.
    """
    if limit is not None and limit < 1:
        raise ArgumentError("limit", limit, "an integer >= 1")
    images: list[np.ndarray] = []
    stems: list[str] = []
    labels: list[str] = []
    assumed: dict[str, list[str]] = {}
    for source in find_images(paths, argument):
        if limit is not None and len(images) >= limit:
            break
        found, said = decode_each(source, reading, clean, argument)
        for x in found:
            check(source, x[None])
        if said:
            assumed.setdefault(said, []).append(source.label)
        one = len(found) == 1
        images += found
        stems += [source.stem] if one else [f"{source.stem}-{i}" for i in range(len(found))]
        labels += [source.label] if one else [f"{source.label}[{i}]" for i in range(len(found))]
    for said, files in assumed.items():
        _log.warning("%s%s: %s", files[0], f" and {len(files) - 1} more" if files[1:] else "", said)
    names = file_names(stems[:limit])
    return [LoadedImage(*parts) for parts in zip(images[:limit], names, labels[:limit], strict=True)]


def decode_each(
    source: Source, reading: Reading = AS_THEY_ARE, clean: bool = True, argument: str = "images"
) -> tuple[list[np.ndarray], str]:
    """Return the images of one file, each (1, H, W) or (3, H, W), and what was assumed, in words.

    Parameters
    ----------
    source : Source
        The file, as `find_images` lists it.
    reading, clean, argument
        As for `read_each`.

    Raises
    ------
    ArgumentError
        If it cannot be read as images.
    """
    if source.suffix in array_files.SUFFIXES:
        return _images_of_array(source, reading, clean, argument)
    try:
        pages = decode_pages(read_source(source, argument))
    except ValueError as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(argument, f"{source.label}, {error}", ACCEPTED) from None
    found, notes = [], []
    for page in pages:
        shown, said = _meant(source, argument, lambda page=page: page.in_range(reading.range, clean=clean))
        pixels = shown.on_white()
        found.append(tied(np.atleast_3d(pixels).transpose(2, 0, 1)))
        notes.append(said)
    return found, notes[0]


def _images_of_array(
    source: Source, reading: Reading, clean: bool, argument: str
) -> tuple[list[np.ndarray], str]:
    array = _load_array(source, argument)
    images, axes = _meant(
        source, argument, lambda: arranged(array, reading.layout), f"axes {', '.join(LAYOUTS)} of --layout"
    )
    x, values = _meant(source, argument, lambda: in_unit_range(images, reading.range, clean=clean))
    return [tied(image) for image in x], "; ".join(filter(None, (axes, values)))


def _meant(
    source: Source,
    argument: str,
    take: Callable[[], Any],
    accepted: str = "values in [0, 1], 0..255 or 0..65535 in whole numbers, or --range LOW,HIGH",
) -> Any:
    try:
        return take()
    except ValueError as error:
        raise ArgumentError(argument, f"{source.label} {error}", accepted) from None


def tied(image: np.ndarray) -> np.ndarray:
    """Return an image (C, H, W), with one channel where three are equal."""
    same = len(image) == 3 and (image[0] == image[1]).all() and (image[0] == image[2]).all()
    return np.ascontiguousarray(image[:1] if same else image)


class Group(NamedTuple):
    """Images of one shape, as an `ImageSet`, with where each is from."""

    x: np.ndarray
    names: list[str]
    sources: list[str]


def grouped(images: Sequence[LoadedImage]) -> list[Group]:
    """Return images in batches of one size and number of channels, in the order in which they appear."""
    groups: dict[tuple[int, ...], list[LoadedImage]] = {}
    for image in images:
        groups.setdefault(image.x.shape, []).append(image)
    return [
        Group(np.stack([i.x for i in group]), [i.name for i in group], [i.source for i in group])
        for group in groups.values()
    ]


def read_images(
    paths: Sequence[str | os.PathLike[str]],
    *,
    limit: int | None = None,
    size: tuple[int, int] | None = None,
    clean: bool = True,
    argument: str = "images",
) -> ImageSet:
    """Read images of one size as float32 RGB in [0, 1]; grey ones become RGB of three equal channels.

    Parameters
    ----------
    paths : sequence of path
        As for `find_images`.
    limit, clean, argument
        As for `read_each`.
    size : (int, int), optional
        Height and width that each image must have.

    Returns
    -------
    ImageSet

    Raises
    ------
    ArgumentError
        As for `read_each`, or if a file is of a wrong or differing size.
    """
    first: list[tuple[int, int]] = []

    def check(source: Source, x: np.ndarray) -> None:
        _check_size(x, source, size, argument)
        height, width = first[0] if first else x.shape[-2:]
        if x.shape[-2:] != (height, width):
            accepted = f"images of one size; the first is {width}x{height} (width x height)"
            raise ArgumentError(argument, _describe(source, x), accepted)
        first.append((height, width))

    images = read_each(paths, limit=limit, clean=clean, argument=argument, check=check)
    x = np.stack([np.broadcast_to(image.x, (3, *image.x.shape[1:])) for image in images])
    return ImageSet(x, [image.name for image in images])


def decode(source: Source, clean: bool = True, argument: str = "images") -> np.ndarray:
    """Return the images of one file as RGB, float32, (n, 3, H, W); as for `decode_each`."""
    found, _ = decode_each(source, clean=clean, argument=argument)
    return np.stack([np.broadcast_to(x, (3, *x.shape[1:])) for x in found])


def read_mask(path: str | os.PathLike[str], argument: str = "mask") -> np.ndarray:
    """Read a mask: 1 where a pixel is measured, 0 where it is missing.

    Parameters
    ----------
    path : path
        An image, of which pixels brighter than middle grey are measured; or a ``.npy`` file of
        shape (H, W), (1 or 3, H, W) or (N, 1 or 3, H, W) with the weights themselves.
    argument : str
        Name of the argument, for messages.

    Returns
    -------
    numpy.ndarray, float64
    """
    array = _read_single(path, argument)
    if array is None:
        return (_grey(path, argument) > 0.5).astype(np.float64)
    # Masks are often saved as 0 and 255.
    return array / 255 if array.size and array.max() == 255 else array


def read_kernel(
    path: str | os.PathLike[str], argument: str = "kernel", scale: str | None = None
) -> np.ndarray:
    """Read a blur kernel.

    Parameters
    ----------
    path : path
        An image, whose grey values from 0 to 1 are divided by their sum unless `scale` says otherwise; or a
        ``.npy`` file of shape (h, w) or (C, h, w). A kernel there that sums to 1 within 1 % is divided by its
        sum. A kernel is the picture of a point: it is not flipped, and its centre is its pixel
        (h // 2, w // 2).
    argument : str
        Name of the argument, for messages.
    scale : {"normalise", "as-is"}, optional
        What to do with any other kernel: divide each channel by its sum, or take it as it is, with the gain
        that it has. What was done is said through the logger ``flowsolve``.

    Returns
    -------
    numpy.ndarray, float64

    Raises
    ------
    ArgumentError
        If it cannot be read, or does not sum to 1 and `scale` does not say what to do.
    """
    if scale is not None and scale not in SCALES:
        raise ArgumentError("kernel-scale", repr(scale), " or ".join(SCALES))
    array = _read_single(path, argument)
    if array is not None:
        return _scaled(array, path, argument, scale)
    grey = _grey(path, argument)
    if not grey.any():
        raise ArgumentError(argument, f"{path}, which is black", "a kernel with an entry that is not 0")
    # Grey levels have no scale of their own: an image is a kernel up to a factor.
    return _scaled(grey, path, argument, scale or "normalise")


def _scaled(kernel: np.ndarray, path: str | os.PathLike[str], argument: str, scale: str | None) -> np.ndarray:
    """Return a kernel divided by its sum or not, having said which where it makes a difference."""
    if kernel.ndim < 2 or 0 in kernel.shape:
        # The blur says what shapes it takes.
        return kernel
    sums = kernel.sum((-2, -1), keepdims=True)
    said = ", ".join(f"{total:.6g}" for total in sums.ravel())
    if np.allclose(sums, 1, rtol=0, atol=1e-6):
        return kernel
    if scale == "as-is":
        _log.warning("Kernel %s, of sum %s, taken as it is.", path, said)
        return kernel
    if scale is None and (np.abs(sums - 1) > 0.01).any():
        given = f"{path}, which sums to {said}"
        choice = "--kernel-scale (in studies kernel_scale) normalise (divide by the sum) or as-is (a gain)"
        accepted = f"a kernel of sum 1, or {choice}"
        raise ArgumentError(argument, given, accepted)
    if (sums <= 0).any():
        raise ArgumentError(argument, f"{path}, which sums to {said}", "a sum > 0, or --kernel-scale as-is")
    _log.warning("Kernel %s, of sum %s, divided by its sum.", path, said)
    return kernel / sums


def open_image(source: Source, argument: str) -> Decoded:
    """Return the pixels of an image file.

    Raises
    ------
    ArgumentError
        If it cannot be read as an image.
    """
    try:
        return decode_image(read_source(source, argument))
    except ValueError as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(argument, f"{source.label}, {error}", ACCEPTED) from None


def _load_array(source: Source, argument: str) -> np.ndarray:
    """Return the array of a file, which is real and finite."""
    data = read_source(source, argument)
    try:
        return read_array(data, source.suffix, source.inner)
    except ValueError as error:
        link = ", " if str(error).startswith("which") else " "
        accepted = f"a {source.suffix} file of finite numbers"
        raise ArgumentError(argument, f"{source.label}{link}{error}", accepted) from None


def _read_single(path: str | os.PathLike[str], argument: str) -> np.ndarray | None:
    """Return the array of a file of arrays, or None for an image; refuse anything else."""
    path, inner = split_inner(Path(path))
    accepted = "one image or .npy file"
    if not path.is_file():
        raise missing(path, argument, accepted)
    if path.suffix.lower() in SUFFIXES:
        return None
    if path.suffix.lower() not in array_files.SUFFIXES:
        raise ArgumentError(argument, path, accepted)
    return _load_array(file_source(path, inner), argument).astype(np.float64)


def _grey(path: str | os.PathLike[str], argument: str) -> np.ndarray:
    """Return an image's grey values; transparency has no meaning in masks and kernels."""
    image = open_image(file_source(Path(path)), argument)
    if image.alpha is not None:
        given = f"{path}, which has transparent pixels"
        raise ArgumentError(argument, given, "an image without transparency")
    grey = image.colour.astype(np.float64)
    return grey if grey.ndim == 2 else grey @ LUMA


def _describe(source: Source, stack: np.ndarray) -> str:
    height, width = stack.shape[-2:]
    return f"{source.label} of {width}x{height} pixels (width x height)"


def _check_size(stack: np.ndarray, source: Source, size: tuple[int, int] | None, argument: str) -> None:
    height, width = stack.shape[-2:]
    if size is not None and (height, width) != tuple(size):
        accepted = f"images of {size[1]}x{size[0]} pixels (width x height)"
        raise ArgumentError(argument, _describe(source, stack), accepted)
