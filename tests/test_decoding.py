"""What image files say, for every format, mode, depth and size, against values worked out by hand."""

import io
import struct
import subprocess
import warnings

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pngs import CHANNELS, DEPTHS, chunk, png

from flowsolve import decoding
from flowsolve.decoding import decode_image

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@st.composite
def png_files(draw):
    """A PNG of any kind, with its colour and its alpha."""
    colour_type = draw(st.sampled_from(sorted(CHANNELS)))
    depth = draw(st.sampled_from(DEPTHS[colour_type]))
    height, width = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    largest = 2**depth - 1
    samples = draw(arrays(np.int64, (height, width, CHANNELS[colour_type]), elements=st.integers(0, largest)))
    before = []
    if colour_type == PALETTE:
        palette = draw(arrays(np.uint8, (largest + 1, 3), elements=st.integers(0, 255)))
        opacity = draw(arrays(np.uint8, st.integers(0, largest + 1), elements=st.integers(0, 255)))
        before = [(b"PLTE", palette.tobytes())] + ([(b"tRNS", opacity.tobytes())] if len(opacity) else [])
        colour = palette[samples[..., 0]] / 255
        alpha = np.append(opacity / 255, np.ones(largest + 1 - len(opacity)))[samples[..., 0]]
    elif colour_type in (GREY, RGB):
        colour, alpha = samples / largest, np.ones((height, width))
        if draw(st.booleans()):
            key = samples[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))]
            before = [(b"tRNS", key.astype(">u2").tobytes())]
            alpha = 1.0 - (samples == key).all(-1)
    else:
        colour, alpha = samples[..., :-1] / largest, samples[..., -1] / largest
    filters = draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    data = png(samples, colour_type, depth, filters=filters, interlaced=draw(st.booleans()), before=before)
    return data, colour, alpha


@given(png_files())
@examples(60)
def test_every_kind_of_png_has_its_colour_and_its_transparency(case):
    data, colour, alpha = case
    found = decode_image(data)
    assert found.colour.dtype == np.float32
    full = (*alpha.shape, 3)
    values, shown = (x if x.ndim == 3 else x[..., None] for x in (found.colour, found.on_white()))
    np.testing.assert_allclose(np.broadcast_to(values, full), np.broadcast_to(colour, full), atol=1e-6)
    np.testing.assert_allclose(1 if found.alpha is None else found.alpha, alpha, atol=1e-6)
    white = colour * alpha[..., None] + 1 - alpha[..., None]
    np.testing.assert_allclose(np.broadcast_to(shown, full), np.broadcast_to(white, full), atol=1e-6)


@st.composite
def other_files(draw):
    """A JPEG, WebP, TIFF or BMP, with its format and what it shows."""
    kind, mode = draw(
        st.sampled_from(
            [(k, m) for k, modes in MODES.items() for m in modes],
        )
    )
    size = (draw(st.integers(1, 17)), draw(st.integers(1, 17)))
    bands = len(Image.new(mode, (1, 1)).getbands())
    if kind == "JPEG":
        # Of one colour, which its compression keeps.
        colour = draw(st.tuples(*[st.integers(0, 255)] * bands))
        image = Image.new(mode, size, colour if bands > 1 else colour[0])
    else:
        values = draw(arrays(np.uint8, (size[1], size[0], bands), elements=st.integers(0, 255)))
        image = Image.frombytes(mode, size, values.tobytes()) if mode != "1" else Image.new("1", size, 1)
        if mode == "P":
            image.putpalette(list(range(255, -1, -1)) * 3)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    options |= {"lossless": True, "exact": True} if kind == "WEBP" else {}
    if kind == "TIFF":
        options["compression"] = draw(st.sampled_from(["raw", "tiff_lzw", "tiff_deflate", "packbits"]))
    return kind, image, saved(image, kind, **options)


MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr"),
    "BMP": ("1", "L", "P", "RGB"),
}


@given(other_files())
@examples(60)
def test_other_formats_show_what_was_saved(case):
    kind, image, data = case
    found = decode_image(data)
    assert found.colour.shape[:2] == image.size[::-1]
    rgba = np.asarray(image.convert("RGBA"), dtype=float) / 255
    values = found.colour if found.colour.ndim == 3 else found.colour[..., None]
    exact = kind != "JPEG" and image.mode != "YCbCr"
    np.testing.assert_allclose(
        np.broadcast_to(values, (*values.shape[:2], 3)), rgba[..., :3], atol=1e-6 if exact else 0.03
    )
    np.testing.assert_allclose(1 if found.alpha is None else found.alpha, rgba[..., 3], atol=1e-6)


@given(st.integers(0, 40), st.binary(max_size=60), st.integers(0, 10**6), st.sampled_from([*MODES, "PNG"]))
@examples(60)
def test_damaged_files_are_refused_in_words_or_read(start, junk, cut, kind):
    data = saved(Image.new("RGB", (9, 7), (10, 200, 30)), kind)
    data = data[:start] + junk + data[start + len(junk) :]
    for damaged in (data, data[: cut % len(data)]):
        try:
            found = decode_image(damaged)
        except ValueError as error:
            assert str(error).startswith("which ")
        else:
            assert 0 <= found.colour.min() <= found.colour.max() <= 1


def test_sixteen_bits_keep_both_bytes():
    samples = np.array([[[0x1234, 0xFF00, 0x00FF]]])
    np.testing.assert_allclose(decode_image(png(samples, RGB, 16)).colour, samples / 65535, rtol=1e-7)


def test_orientation_is_applied_at_every_depth():
    exif = Image.Exif()
    exif[0x0112] = 6
    samples = np.arange(2 * 3 * 3).reshape(2, 3, 3) * 3000
    data = png(samples, RGB, 16, before=[(b"eXIf", exif.tobytes()[6:])])
    np.testing.assert_allclose(decode_image(data).colour, np.rot90(samples, -1) / 65535, atol=1e-6)
    shallow = Image.fromarray((samples // 256).astype(np.uint8))
    found = decode_image(saved(shallow, "PNG", exif=exif)).colour
    np.testing.assert_allclose(found, np.rot90(samples // 256, -1) / 255, atol=1e-6)


def test_grey_tiff_of_more_than_eight_bits():
    deep = np.array([[0, 256, 65535]], dtype=np.uint16)
    found = decode_image(saved(Image.fromarray(deep), "TIFF")).colour
    np.testing.assert_allclose(found, deep / 65535, atol=1e-7)
    inverted = saved(Image.fromarray(deep), "TIFF", tiffinfo={262: 0})
    if Image.open(io.BytesIO(inverted)).tag_v2[262] == 0:
        np.testing.assert_allclose(decode_image(inverted).colour, 1 - deep / 65535, atol=1e-7)


def tiff(bits, photometric, samples):
    """Return an uncompressed little-endian TIFF of one row."""
    width = len(samples)
    pixels = np.asarray(samples).astype("<u2").tobytes()
    channels = len(bits)
    place = 8 + 2 + 12 * 9 + 4
    extra = struct.pack(f"<{channels}H", *bits)
    tags = [
        (256, 4, 1, width // channels),
        (257, 4, 1, 1),
        (258, 3, channels, bits[0] if channels == 1 else place),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, place + len(extra)),
        (277, 3, 1, channels),
        (278, 4, 1, 1),
        (279, 4, 1, len(pixels)),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + extra + pixels


def test_tiffs_that_count_from_white_and_those_of_deep_colour():
    samples = [0, 1000, 65535]
    np.testing.assert_allclose(
        decode_image(tiff((16,), 1, samples)).colour, [np.array(samples) / 65535], atol=1e-6
    )
    np.testing.assert_allclose(
        decode_image(tiff((16,), 0, samples)).colour, [1 - np.array(samples) / 65535], atol=1e-6
    )
    np.testing.assert_allclose(
        decode_image(tiff((16, 16, 16), 2, samples)).colour, [[np.array(samples) / 65535]], atol=1e-6
    )


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.new("F", (3, 3), 1.5), "values from 1.5 to 1.5"),
        (Image.new("F", (3, 3), float("nan")), "NaN"),
        (Image.new("I", (3, 3), 70000), "values from 70000 to 70000"),
        (Image.new("LAB", (3, 3)), "LAB"),
    ],
)
def test_values_without_a_single_meaning_are_refused_by_name(image, words):
    with pytest.raises(ValueError, match=words):
        decode_image(saved(image, "TIFF"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["EPS", "GIF", "PPM", "TGA", "ICNS", "PCX", "JPEG2000", "PDF", "IM"])
def test_other_formats_are_not_opened_whatever_they_are_called(kind, monkeypatch):
    def started(*arguments, **options):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    data = saved(Image.new("RGB", (64, 64)), kind)
    with pytest.raises(ValueError, match="not an image in PNG, JPEG, WebP, TIFF or BMP"):
        decode_image(data)


@pytest.mark.parametrize("side", [10**4, 10**6])
def test_few_bytes_that_stand_for_many_pixels_are_refused_before_they_are_decoded(side):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="more than 67108864"):
            decode_image(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""))


def test_the_limit_of_pixels(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20)
    assert decode_image(saved(Image.new("L", (5, 4)), "PNG")).colour.shape == (4, 5)
    with pytest.raises(ValueError, match="5x5 pixels"):
        decode_image(saved(Image.new("L", (5, 5)), "PNG"))
