"""TIFFs that Pillow does not read in full."""

import io

import numpy as np
import pytest
import tifffile

from flowsolve import decoding
from flowsolve.decoding import decode_image, decode_pages

COLOUR = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **{"metadata": None, **options})
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_colour_of_sixteen_bits_keeps_them(options):
    found = decode_image(tiff(COLOUR, photometric="rgb", **options))
    np.testing.assert_allclose(found.colour, COLOUR / 65535, atol=1e-7)
    assert found.largest == 65535


def test_planes_one_after_the_other():
    data = tiff(COLOUR.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(decode_image(data).colour, COLOUR / 65535, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_values_are_as_they_are(dtype):
    grey = np.random.default_rng(1).random((4, 6)).astype(dtype)
    np.testing.assert_allclose(decode_image(tiff(grey)).colour, grey, rtol=1e-6)
    (raw,) = decode_pages(tiff(200.5 * grey))
    assert raw.largest is None
    with pytest.raises(ValueError, match="with values from"):
        raw.in_range(None, clean=True)
    scaled, _ = raw.in_range((0, 200.5), clean=False)
    np.testing.assert_allclose(scaled.colour, grey, rtol=2e-3)


def test_every_page_is_read_and_previews_are_not():
    pages = np.random.default_rng(2).integers(0, 65536, (3, 4, 5)).astype(np.uint16)
    np.testing.assert_allclose(
        [p.colour for p in decode_pages(tiff(pages, photometric="minisblack"))], pages / 65535, atol=1e-7
    )
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(COLOUR, photometric="rgb", metadata=None)
        file.write(COLOUR[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    assert len(decode_pages(buffer.getvalue())) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_pillow(orientation):
    eight = (COLOUR // 257).astype(np.uint8)
    tags = [(274, "H", 1, orientation, True)]
    deep = decode_image(tiff(eight.astype(np.uint16) * 257, photometric="rgb", extratags=tags)).colour
    shallow = decode_image(tiff(eight, photometric="rgb", extratags=tags)).colour
    np.testing.assert_allclose(deep, shallow, atol=1e-6)


def test_alpha_of_sixteen_bits():
    alpha = np.full((5, 7, 1), 32768, np.uint16)
    data = tiff(np.dstack([COLOUR, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_allclose(decode_image(data).alpha, 32768 / 65535, atol=1e-6)


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 34)
    with pytest.raises(ValueError, match="pixels, more than 34"):
        decode_image(tiff(COLOUR, photometric="rgb"))
