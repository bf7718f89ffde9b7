"""Images in and out: files, folders and zips to float arrays in [0, 1], and back to PNG.

Zip entries are decoded from memory and never written to disk. Every refusal names the file,
because a folder of five thousand photographs has one that is different. Only regular files are opened.
"""

from __future__ import annotations

import io
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from .decoding import SUFFIXES, Decoded, decode_image
from .errors import ArgumentError
from .files import kind, read_regular, write_atomically
from .names import file_names

ACCEPTED = "PNG, JPEG, WebP, TIFF, BMP or .npy files, folders or zips of them"

MAX_BYTES = 2**29
"""Largest file or zip entry that is read; protects from archives made to fill the memory."""

SCALES = ("normalise", "as-is")
"""What can be done to a blur kernel whose sum is not 1."""

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are in a grey image (ITU-R BT.601)."""

_log = logging.getLogger("flowsolve")


class ImageSet(NamedTuple):
    """Images and what they are called.

    Attributes
    ----------
    x : numpy.ndarray, shape (N, 3, H, W), float32
        The images.
    names : list of str
        A name for each, without folder and suffix, that a file can have; no two are equal.
    """

    x: np.ndarray
    names: list[str]


@dataclass(frozen=True)
class Source:
    """One file, on disk or in a zip, that can be opened when it is needed.

    Attributes
    ----------
    label : str
        Where it is, for messages.
    suffix : str
        Suffix in lower case.
    read : callable
        Returns the file's bytes.
    """

    label: str
    suffix: str
    read: Callable[[], bytes]


def find_images(paths: Sequence[str | os.PathLike[str]], argument: str = "images") -> list[Source]:
    """Return the image files that `paths` stand for, without decoding any.

    Parameters
    ----------
    paths : sequence of path
        Image or ``.npy`` files, folders (searched through all their folders, in sorted order;
        images only) and zips, in any mix.
    argument : str
        Name of the argument, for messages.

    Raises
    ------
    ArgumentError
        If a path does not exist, is of another kind, or has no image in it.
    """
    sources: list[Source] = []
    for path in map(Path, paths):
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            found = [file_source(p) for p in files if not hidden(p.name)]
        elif not path.is_file():
            raise missing(path, argument, ACCEPTED)
        elif path.suffix.lower() == ".zip":
            found = _zip_entries(path, argument)
        elif path.suffix.lower() in (*SUFFIXES, ".npy"):
            found = [file_source(path)]
        else:
            raise ArgumentError(argument, path, ACCEPTED)
        if not found:
            raise ArgumentError(argument, f"{path}, which has no image in it", ACCEPTED)
        sources.extend(found)
    if not sources:
        raise ArgumentError(argument, "nothing", ACCEPTED)
    return sources


def read_images(
    paths: Sequence[str | os.PathLike[str]],
    *,
    limit: int | None = None,
    size: tuple[int, int] | None = None,
    clean: bool = True,
    argument: str = "images",
) -> ImageSet:
    """Read images as float32 RGB in [0, 1].

    Grey images become RGB with three equal channels; transparent ones are laid on white; of an
    animation the first frame is taken; the EXIF orientation is applied. PNGs of 16 bits keep their
    depth. A ``.npy`` file holds one image (3, H, W) or several (N, 3, H, W), float, or uint8 from 0
    to 255.

    Parameters
    ----------
    paths : sequence of path
        As for `find_images`.
    limit : int, optional
        Read no more than so many images; further files are not opened.
    size : (int, int), optional
        Height and width that each image must have.
    clean : bool
        Whether values of ``.npy`` files must lie in [0, 1]; measurements with noise need not.
    argument : str
        Name of the argument, for messages.

    Returns
    -------
    ImageSet

    Raises
    ------
    ArgumentError
        If a file is missing, corrupt, of a wrong or differing size, or has values that are not finite.
    """
    if limit is not None and limit < 1:
        raise ArgumentError("limit", limit, "an integer >= 1")
    images: list[np.ndarray] = []
    names: list[str] = []
    for source in find_images(paths, argument):
        if limit is not None and len(images) >= limit:
            break
        stack = decode(source, clean, argument)
        _check_size(stack, source, size, argument)
        if images and stack.shape[-2:] != images[0].shape[-2:]:
            height, width = images[0].shape[-2:]
            accepted = f"images of one size; the first is {width}x{height} (width x height)"
            raise ArgumentError(argument, _describe(source, stack), accepted)
        stem = PurePosixPath(source.label.replace(os.sep, "/")).stem
        stems = [stem] if len(stack) == 1 else [f"{stem}-{i}" for i in range(len(stack))]
        images.extend(stack)
        names.extend(stems)
    x = np.stack(images[:limit])
    return ImageSet(x, file_names(names[:limit]))


def decode(source: Source, clean: bool = True, argument: str = "images") -> np.ndarray:
    """Return the images of one file.

    Parameters
    ----------
    source : Source
        The file, as `find_images` lists it.
    clean : bool
        As for `read_images`.
    argument : str
        What error messages call the files.

    Returns
    -------
    numpy.ndarray
        float32, (n, 3, H, W), in [0, 1].

    Raises
    ------
    ArgumentError
        If it cannot be read as images.
    """
    if source.suffix == ".npy":
        array = _load_npy(source, argument)
        array = array / 255.0 if array.dtype == np.uint8 else array
        array = array[None] if array.ndim == 3 else array
        if array.ndim != 4 or array.shape[1] != 3 or 0 in array.shape:
            given = f"{source.label} of shape {array.shape}"
            raise ArgumentError(argument, given, "shape (3, H, W) or (N, 3, H, W)")
        if clean and (array.min() < 0 or array.max() > 1):
            given = f"{source.label} with values from {array.min():g} to {array.max():g}"
            raise ArgumentError(argument, given, "values in [0, 1]")
        return array.astype(np.float32)
    pixels = open_image(source, argument).on_white()
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


def write_png(path: str | os.PathLike[str], x: np.ndarray) -> None:
    """Write one image to a PNG of 8 bits.

    Parameters
    ----------
    path : path
        File to write, in one step; replaced if it exists.
    x : numpy.ndarray, shape (3, H, W) or (1, H, W) or (H, W)
        Image; values outside [0, 1] are clipped.

    Raises
    ------
    ArgumentError
        If there is something that is no regular file.
    """
    write_atomically(path, encode_png(x))


def encode_png(x: np.ndarray) -> bytes:
    """Return one image as the bytes of a PNG file; as for `write_png`."""
    pixels = np.rint(np.clip(np.asarray(x, dtype=np.float64), 0, 1) * 255).astype(np.uint8)
    if pixels.ndim == 3:
        pixels = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


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
        An image, whose grey values are divided by their sum; or a ``.npy`` file of shape (h, w) or
        (C, h, w). A kernel there that sums to 1 within 1 % is divided by its sum.
    argument : str
        Name of the argument, for messages.
    scale : {"normalise", "as-is"}, optional
        What to do with any other ``.npy`` kernel: divide each channel by its sum, or take it as it is,
        with the gain that it has. What was done is said through the logger ``flowsolve``.

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
    if scale == "as-is":
        raise ArgumentError("kernel-scale", f"as-is for the image {path}", "normalise, or a .npy file")
    grey = _grey(path, argument)
    if not grey.any():
        raise ArgumentError(argument, f"{path}, which is black", "a kernel with an entry that is not 0")
    return grey / grey.sum()


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


def file_source(path: Path) -> Source:
    """Return a file on disk as something to be opened later."""
    return Source(str(path), path.suffix.lower(), lambda: read_regular(path, MAX_BYTES))


def missing(path: Path, argument: str, accepted: str) -> ArgumentError:
    """Return the error for a path that is no regular file."""
    reason = f"which is {kind(path)}" if path.exists() else "which does not exist"
    return ArgumentError(argument, f"{path}, {reason}", accepted)


def hidden(name: str) -> bool:
    """Return whether an operating system has hidden a file of this name in a folder or zip."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _zip_entries(path: Path, argument: str) -> list[Source]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.filename)
    except (zipfile.BadZipFile, OSError) as error:
        raise ArgumentError(argument, f"{path}, which is not a readable zip ({error})", ACCEPTED) from None

    def reader(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            if info.file_size > MAX_BYTES:
                raise OSError(f"larger than {MAX_BYTES} bytes")
            with zipfile.ZipFile(path) as archive:
                return archive.read(info)

        return read

    sources = []
    for info in infos:
        suffix = PurePosixPath(info.filename).suffix.lower()
        if not info.is_dir() and suffix in SUFFIXES and not hidden(info.filename):
            sources.append(Source(f"{path}/{info.filename}", suffix, reader(info)))
    return sources


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


def read_source(source: Source, argument: str) -> bytes:
    """Return the bytes of a file, or say why it cannot be read."""
    try:
        return source.read()
    except Exception as error:  # damaged zips raise almost anything
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(argument, f"{source.label}, which cannot be read ({reason})", ACCEPTED) from None


def _load_npy(source: Source, argument: str) -> np.ndarray:
    """Return the array of a file, which is real and finite."""
    accepted = "a .npy file of finite numbers"
    data = read_source(source, argument)
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # damaged headers raise almost anything, sizes made up MemoryError
        given = f"{source.label}, which cannot be read ({str(error) or type(error).__name__})"
        raise ArgumentError(argument, given, accepted) from None
    if array.dtype.kind not in "fuib":
        raise ArgumentError(argument, f"{source.label} of dtype {array.dtype}", accepted)
    if not np.isfinite(array).all():
        raise ArgumentError(argument, f"{source.label} with NaN or infinite values", accepted)
    return array


def _read_single(path: str | os.PathLike[str], argument: str) -> np.ndarray | None:
    """Return the array of a ``.npy`` file, or None for an image; refuse anything else."""
    path = Path(path)
    accepted = "one image or .npy file"
    if not path.is_file():
        raise missing(path, argument, accepted)
    if path.suffix.lower() != ".npy":
        if path.suffix.lower() not in SUFFIXES:
            raise ArgumentError(argument, path, accepted)
        return None
    return _load_npy(file_source(path), argument).astype(np.float64)


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
