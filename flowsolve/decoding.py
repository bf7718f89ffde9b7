"""The bytes of an image file to numbers: which formats, how many pixels, what depth, what transparency means.

Pillow decodes, but only the formats listed here: others it may hand to programs that interpret a language.
Of PNGs with 16 bits a colour it keeps the upper 8, and of grey ones with transparency the colour alone, so
both are put together here; TIFFs that it would cut short are read by `.tiff_decoding`. What has no single
meaning is refused by name.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .layouts import in_unit_range

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""The formats that are opened, whatever a file's name is, as Pillow calls them."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Suffixes of their files, in any case."""

MAX_PIXELS = 2**26
"""Most pixels of an image: a file of a few bytes may stand for so many that they fill the memory."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RGB, _GREY_ALPHA, _RGB_ALPHA = 2, 4, 6  # colour types of PNG
_SUBFILE, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 254, 258, 262, 339  # tags of TIFF

MAX_PAGES = 4096
"""Most pages of a TIFF that are read."""


class Decoded(NamedTuple):
    """An image as it is in its file.

    Attributes
    ----------
    colour : numpy.ndarray, float32, shape (H, W) or (H, W, 3)
        Grey or RGB in [0, 1].
    alpha : numpy.ndarray or None, float32, shape (H, W)
        How opaque each pixel is; None where all are.
    largest : float or None
        What 1 was in the file. None where its values have no largest one, as floating-point numbers: then
        `colour` has them as they are.
    """

    colour: np.ndarray
    alpha: np.ndarray | None
    largest: float | None = 255.0

    def on_white(self) -> np.ndarray:
        """Return the colour, laid on white where it is transparent."""
        if self.alpha is None:
            return self.colour
        alpha = self.alpha if self.colour.ndim == 2 else self.alpha[..., None]
        return self.colour * alpha + (1 - alpha)

    def in_range(self, limits: tuple[float, float] | None, *, clean: bool) -> tuple[Decoded, str]:
        """Return the image with values in [0, 1], and what was assumed; as `.layouts.in_unit_range`."""
        if self.largest is not None and limits is None:
            return self, ""
        values = self.colour if self.largest is None else self.colour.astype(np.float64) * self.largest
        colour, said = in_unit_range(values, limits, clean=clean)
        return self._replace(colour=colour, largest=1.0), said


class _Header(NamedTuple):
    """What the first chunks of a PNG say: bits a sample, colour type, transparent colour."""

    depth: int
    colour_type: int
    key: tuple[int, ...] | None


def decode_image(data: bytes) -> Decoded:
    """Decode an image; of an animation or of several pages the first, turned as its EXIF says.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ValueError
        If it is not an image of `FORMATS`, is damaged, too large, or of a kind whose values have no
        single meaning as an image in [0, 1]; the message continues a sentence about the file.
    """
    return _guarded(lambda: _decode(data)).in_range(None, clean=True)[0]


def decode_pages(data: bytes) -> list[Decoded]:
    """Decode an image, of a TIFF every page but for previews; of an animation the first frame.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    list of Decoded
        Values that have no largest one as they are; see `Decoded.in_range`.

    Raises
    ------
    ValueError
        As for `decode_image`, but for the meaning of values.
    """
    return [_guarded(lambda page=page: _decode(data, page)) for page in _guarded(lambda: _pages(data))]


def _guarded(decode: Callable[[], Any]) -> Any:
    """Return what `decode` returns; whatever it raises says what is wrong with the file."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of what is refused below, or of metadata that is of no use here.
            warnings.simplefilter("ignore")
            return decode()
    except UnidentifiedImageError:
        raise ValueError("which is not an image in PNG, JPEG, WebP, TIFF or BMP") from None
    except _Refusal as refusal:
        raise ValueError(str(refusal)) from None
    except Image.DecompressionBombError:
        raise ValueError(f"which has more than {MAX_PIXELS} pixels") from None
    except Exception as error:  # damaged files make decoders raise almost anything
        raise ValueError(f"which cannot be decoded ({str(error) or type(error).__name__})") from None


class _Refusal(Exception):
    pass


class _BeyondPillow(Exception):
    """A TIFF of which Pillow would keep 8 bits, or whose values have no largest one."""


def _pages(data: bytes) -> list[int]:
    """Return the numbers of the pages that are pictures of their own."""
    if not data.startswith(_TIFF):
        return [0]
    from .tiff_decoding import page_numbers

    try:
        return page_numbers(data)[:MAX_PAGES] or [0]
    except Exception:  # what is wrong with it is said when it is decoded
        return [0]


def _decode(data: bytes, page: int = 0) -> Decoded:
    try:
        return _with_pillow(data, page)
    except _BeyondPillow:
        return _with_tifffile(data, page)
    except UnidentifiedImageError:
        # Of several floating-point values a pixel Pillow knows nothing.
        if not data.startswith(_TIFF):
            raise
        return _with_tifffile(data, page)


def _with_pillow(data: bytes, page: int) -> Decoded:
    image = _load(data, page=page)
    if data.startswith(_SIGNATURE):
        header = _png_header(data)
        if header.depth == 16 and header.colour_type in (_RGB, _GREY_ALPHA, _RGB_ALPHA):
            return _deep_png(data, header, image)
        if header.key is not None and image.mode != "P":
            return _with_key(_whole_numbers(image), header)
    if image.mode.startswith("I;16"):
        return Decoded(_deep_grey(image), None, 2.0 ** image.info.get("bits", 16) - 1)
    if image.mode == "I" and data.startswith(_SIGNATURE):
        # Older versions of Pillow open grey PNGs of 16 bits so.
        return Decoded(np.asarray(image, dtype=np.float32) / np.float32(65535), None, 65535.0)
    if image.mode in ("1", "L"):
        return Decoded(_unit(image.convert("L")), None)
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _opaque_or_not(_unit(image.convert("RGBA")))
    if image.mode in ("RGB", "RGBX", "P", "CMYK", "YCbCr"):
        return Decoded(_unit(image.convert("RGB")), None)
    kinds = {"F": "floating-point values", "I": "values of 32 bits or with a sign"}
    raise _Refusal(f"which has {kinds.get(image.mode, f'colours of the kind {image.mode}')}")


def _with_tifffile(data: bytes, page: int) -> Decoded:
    # Imported here: few images need it.
    from .tiff_decoding import read_page

    samples, has_alpha = read_page(data, page, MAX_PIXELS)
    integers = samples.dtype.kind == "u" and samples.dtype.itemsize <= 2
    largest = float(np.iinfo(samples.dtype).max) if integers else None
    if largest is not None:
        samples = samples.astype(np.float32) / np.float32(largest)
    elif not np.isfinite(samples).all():
        raise _Refusal("which has NaN or infinite values")
    alpha = samples[..., -1] if has_alpha and largest is not None else None
    colour = samples[..., :-1] if has_alpha else samples
    colour = colour[..., 0] if colour.ndim == 3 and colour.shape[-1] == 1 else colour
    if colour.ndim == 3 and colour.shape[-1] != 3:
        raise _Refusal(f"which is a TIFF of {colour.shape[-1]} channels")
    return Decoded(colour, None if alpha is None or (alpha == 1).all() else alpha, largest)


def _load(data: bytes, rawmode: str | None = None, page: int = 0) -> Image.Image:
    """Return the decoded image; `rawmode` says what to take of each sample, in place of Pillow's choice."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        if page:
            opened.seek(page)
        if opened.width * opened.height > MAX_PIXELS:
            given = f"{opened.width}x{opened.height} pixels"
            raise _Refusal(f"which has {given}, more than {MAX_PIXELS} in all")
        _check_tiff(opened)
        if rawmode is not None:
            opened.tile = [(*tile[:3], rawmode) for tile in opened.tile]
        opened.load()
        tags = getattr(opened, "tag_v2", None)
        image = ImageOps.exif_transpose(opened)
        if tags is not None:
            image.info |= {"bits": tags.get(_BITS, (1,))[0], "white-is-zero": tags.get(_PHOTOMETRIC) == 0}
    return image


def _check_tiff(image: Image.Image) -> None:
    """Tell the TIFFs of which Pillow would keep 8 bits, or whose values have no largest one."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return
    bits = tags.get(_BITS, (1,))
    if len(bits) > 1 and max(bits) > 8:
        raise _BeyondPillow
    if any(kind != 1 for kind in tags.get(_SAMPLE_FORMAT, (1,))) or max(bits) > 16:
        raise _BeyondPillow


def _deep_grey(image: Image.Image) -> np.ndarray:
    """Return a grey image of more than 8 bits; TIFFs may have 12, and count from white."""
    largest = 2 ** image.info.get("bits", 16) - 1
    grey = np.asarray(image).astype(np.float32) / np.float32(largest)
    return 1 - grey if image.info.get("white-is-zero") else grey


def _unit(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _opaque_or_not(rgba: np.ndarray) -> Decoded:
    alpha = rgba[..., 3]
    return Decoded(rgba[..., :3], None if (alpha == 1).all() else alpha)


def _png_header(data: bytes) -> _Header:
    """Return what the chunks before the pixels say."""
    place, depth, colour_type, key = len(_SIGNATURE), 0, 0, None
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        if name == b"IHDR":
            depth, colour_type = content[8], content[9]
        elif name == b"tRNS" and colour_type in (0, _RGB):
            key = struct.unpack_from(">H" if colour_type == 0 else ">HHH", content)
        elif name == b"IDAT":
            break
        place += 12 + length
    return _Header(depth, colour_type, key)


def _whole_numbers(image: Image.Image) -> np.ndarray:
    """Return the samples of a PNG as Pillow has them: of 1, 2 and 4 bits stretched to 0 to 255."""
    return np.asarray(image.convert("L") if image.mode == "1" else image).astype(np.int64)


def _with_key(samples: np.ndarray, header: _Header) -> Decoded:
    """Return an image of which one colour is transparent, as PNG has it."""
    assert header.key is not None
    largest = 65535 if header.depth == 16 else 255
    # The key counts in the file's bits, of which only the lowest `depth` are meant.
    stretch = largest // (2**header.depth - 1)
    key = np.array([(number % 2**header.depth) * stretch for number in header.key])
    hidden = samples == key[0] if samples.ndim == 2 else (samples == key).all(-1)
    colour = samples.astype(np.float32) / np.float32(largest)
    alpha = np.float32(1) - hidden.astype(np.float32) if hidden.any() else None
    return Decoded(colour, alpha, float(largest))


def _deep_png(data: bytes, header: _Header, upper: Image.Image) -> Decoded:
    """Return a colour PNG of 16 bits a sample; Pillow gives the upper halves of the samples."""
    if header.colour_type == _GREY_ALPHA:
        # Grey and alpha of two bytes each lie in the file as four channels of one byte do.
        halves = np.asarray(_load(_relabelled(data))).astype(np.int64)
        grey, alpha = (256 * halves[..., i] + halves[..., i + 1] for i in (0, 2))
        return Decoded(_of_16_bits(grey), None if (alpha == 65535).all() else _of_16_bits(alpha), 65535.0)
    # A file has the upper half of a sample first; read as if the lower came first, it gives the lower.
    lower = _load(data, rawmode=f"{upper.mode};16L")
    samples = 256 * np.asarray(upper).astype(np.int64) + np.asarray(lower)
    if header.key is not None:
        return _with_key(samples, header)
    values = _of_16_bits(samples)
    found = Decoded(values, None) if header.colour_type == _RGB else _opaque_or_not(values)
    return found._replace(largest=65535.0)


def _of_16_bits(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.float32) / np.float32(65535)


def _relabelled(data: bytes) -> bytes:
    """Return the PNG with a header that says 8 bits, RGB and alpha."""
    chunk = data[12:24] + bytes([8, _RGB_ALPHA]) + data[26:29]
    return data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
