"""Images to the bytes of a file: PNG, TIFF or ``.npy``, of 8 or 16 bits or floating-point numbers."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

from .errors import ArgumentError
from .files import write_atomically

DTYPES = {"uint8": ("png", "tiff", "npy"), "uint16": ("png", "tiff", "npy"), "float32": ("tiff", "npy")}
"""Which kinds of files can hold numbers of a dtype, the usual kind first."""


def file_kind(dtype: str, kind: str | None = None) -> str:
    """Return the kind of file for images of a dtype, which is its suffix too.

    Parameters
    ----------
    dtype : {"uint8", "uint16", "float32"}
        What the file shall hold.
    kind : {"png", "tiff", "npy"}, optional
        What was asked for; PNG for integers and TIFF for floats unless given.

    Raises
    ------
    ArgumentError
        If there is no such dtype or kind, or the kind cannot hold the dtype.
    """
    if dtype not in DTYPES:
        raise ArgumentError("dtype-out", repr(dtype), ", ".join(DTYPES))
    if kind is not None and kind not in DTYPES[dtype]:
        raise ArgumentError("format", repr(kind), f"{' or '.join(DTYPES[dtype])} for {dtype}")
    return DTYPES[dtype][0] if kind is None else kind


def write_image(path: str | os.PathLike[str], x: np.ndarray, dtype: str = "uint8") -> None:
    """Write one image to a file in one step; its suffix says of which kind.

    Parameters
    ----------
    path : path
        File to write, ``.png``, ``.tif``, ``.tiff`` or ``.npy``; replaced if it exists.
    x : numpy.ndarray, shape (3, H, W), (1, H, W) or (H, W)
        Image in [0, 1]. Integers are clipped to it; floats are written as they are.
    dtype : {"uint8", "uint16", "float32"}
        What to write.

    Raises
    ------
    ArgumentError
        If the kind cannot hold the dtype, or there is something that is no regular file.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower().removeprefix(".").replace("tif", "tiff")
    kind = file_kind(dtype, suffix.replace("tifff", "tiff"))
    write_atomically(path, encode_image(x, dtype, kind))


def write_png(path: str | os.PathLike[str], x: np.ndarray) -> None:
    """Write one image to a PNG of 8 bits; as `write_image`, whatever the suffix."""
    write_atomically(path, encode_png(x))


def encode_png(x: np.ndarray) -> bytes:
    """Return one image as the bytes of a PNG of 8 bits; as for `write_image`."""
    return encode_image(x, "uint8", "png")


def encode_image(x: np.ndarray, dtype: str = "uint8", kind: str = "png") -> bytes:
    """Return one image as the bytes of a file; as for `write_image`."""
    pixels = _pixels(np.asarray(x), dtype)
    buffer = io.BytesIO()
    if kind == "npy":
        np.lib.format.write_array(buffer, pixels, allow_pickle=False)
    elif kind == "tiff":
        import tifffile

        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(buffer, pixels, photometric=photometric, compression="zlib", metadata=None)
    elif dtype == "uint16":
        return _deep_png(pixels)
    else:
        Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _pixels(x: np.ndarray, dtype: str) -> np.ndarray:
    """Return an image as (H, W) or (H, W, 3) in the dtype of the file."""
    if x.ndim == 3:
        x = x[0] if len(x) == 1 else x.transpose(1, 2, 0)
    if dtype == "float32":
        return np.ascontiguousarray(x, dtype=np.float32)
    largest = np.iinfo(dtype).max
    return np.ascontiguousarray(np.rint(np.clip(x.astype(np.float64), 0, 1) * largest).astype(dtype))


def _deep_png(pixels: np.ndarray) -> bytes:
    """Return a PNG of 16 bits a sample, which Pillow does not write in colour."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    # Every row begins with its filter; differences to the row above compress better than the values.
    before = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), rows - before])
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
