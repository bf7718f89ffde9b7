import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from flowsolve.errors import ArgumentError
from flowsolve.images import find_images, read_images, read_kernel, read_mask, write_png


def pixels(seed=0, size=(8, 6), channels=3):
    shape = (*size, channels) if channels else size
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png_bytes(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    for name, seed in (("b.png", 1), ("a.png", 0), ("deep/c.PNG", 2)):
        (tmp_path / name).write_bytes(png_bytes(pixels(seed)))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._a.png").write_text("left by another system")
    return tmp_path


def test_a_folder_is_read_sorted_and_through_its_folders(folder):
    x, names = read_images([folder])
    assert x.shape == (3, 3, 8, 6) and x.dtype == np.float32
    assert names == ["a", "b", "c"]
    np.testing.assert_array_equal(x[0], pixels(0).transpose(2, 0, 1) / np.float32(255))


def test_files_folders_and_zips_mix_and_names_stay_distinct(folder, tmp_path):
    archive = tmp_path / "more.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("inside/a.png", png_bytes(pixels(5)))
        z.writestr("__MACOSX/a.png", b"junk")
        z.writestr("readme.md", "text")
    x, names = read_images([archive, folder / "a.png", folder / "deep"])
    assert names == ["a", "a-2", "c"]
    np.testing.assert_array_equal(x[0], pixels(5).transpose(2, 0, 1) / np.float32(255))
    assert not (tmp_path / "inside").exists()


def test_lossless_webp_and_jpeg(tmp_path):
    Image.fromarray(pixels()).save(tmp_path / "a.webp", lossless=True)
    Image.new("RGB", (6, 8), (255, 0, 0)).save(tmp_path / "b.jpg")
    x, _ = read_images([tmp_path])
    np.testing.assert_array_equal(x[0], pixels().transpose(2, 0, 1) / np.float32(255))
    assert np.abs(x[1] - np.array([1, 0, 0])[:, None, None]).max() < 0.02


def test_grey_alpha_palette_and_sixteen_bits_become_rgb(tmp_path):
    grey = pixels(channels=0)
    Image.fromarray(grey).save(tmp_path / "1.png")
    deep = (pixels(3, channels=0).astype(np.uint16) * 257 + 3).clip(0, 65535).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "2.png")
    transparent = np.dstack([pixels(), np.zeros((8, 6), np.uint8)])
    Image.fromarray(transparent, "RGBA").save(tmp_path / "3.png")
    Image.fromarray(pixels()).quantize(8).save(tmp_path / "4.png")
    x, _ = read_images([tmp_path])
    np.testing.assert_allclose(x[0], np.broadcast_to(grey / 255, (3, 8, 6)), atol=1e-6)
    np.testing.assert_allclose(x[1][0], deep / 65535, atol=1e-6)
    assert (x[2] == 1).all()
    assert x[3].shape == (3, 8, 6)


def test_the_limit_stops_before_files_that_cannot_be_read(folder):
    (folder / "b.png").write_bytes(b"broken")
    assert read_images([folder], limit=1).names == ["a"]
    with pytest.raises(ArgumentError, match=r"b\.png"):
        read_images([folder], limit=2)
    with pytest.raises(ArgumentError, match="limit"):
        read_images([folder], limit=0)


def test_npy_arrays(tmp_path):
    stack = np.random.default_rng(0).random((2, 3, 8, 8))
    np.save(tmp_path / "y.npy", stack)
    x, names = read_images([tmp_path / "y.npy"])
    np.testing.assert_allclose(x, stack, atol=1e-7)
    assert names == ["y-0", "y-1"]
    np.save(tmp_path / "bytes.npy", (stack * 255).astype(np.uint8))
    assert read_images([tmp_path / "bytes.npy"], limit=1).x.max() <= 1
    np.save(tmp_path / "noisy.npy", stack * 1.2 - 0.1)
    assert read_images([tmp_path / "noisy.npy"], clean=False).x.max() > 1
    with pytest.raises(ArgumentError, match=r"\[0, 1\]"):
        read_images([tmp_path / "noisy.npy"])


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 8, 8), np.nan),
        np.full((3, 8, 8), np.inf),
        np.zeros((8, 8)),
        np.zeros((0, 3, 8, 8)),
        np.array(["text"]),
        np.zeros((3, 8, 8), dtype=complex),
        np.array([{}], dtype=object),
    ],
)
def test_bad_arrays(tmp_path, array):
    np.save(tmp_path / "bad.npy", array, allow_pickle=True)
    with pytest.raises(ArgumentError, match=r"bad\.npy"):
        read_images([tmp_path / "bad.npy"])


def test_sizes_are_checked_and_named(folder):
    with pytest.raises(ArgumentError, match=r"a\.png of 6x8 .*64x64"):
        read_images([folder], size=(64, 64))
    (folder / "b.png").write_bytes(png_bytes(pixels(size=(4, 4))))
    with pytest.raises(ArgumentError, match=r"b\.png of 4x4.*6x8"):
        read_images([folder])


def test_what_is_not_there_or_no_image(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.png").write_text("x")
    (tmp_path / "a.zip").write_text("x")
    (tmp_path / "cut.png").write_bytes(png_bytes(pixels(size=(64, 64)))[:2000])
    with zipfile.ZipFile(tmp_path / "no.zip", "w") as z:
        z.writestr("readme.md", "text")
    for name in ("missing.png", "empty", "a.txt", "a.png", "a.zip", "no.zip", "cut.png"):
        with pytest.raises(ArgumentError, match=name):
            read_images([tmp_path / name])
    with pytest.raises(ArgumentError):
        find_images([])


def test_png_round_trip(tmp_path):
    x = pixels().transpose(2, 0, 1) / 255
    write_png(tmp_path / "x.png", x * 1.0)
    np.testing.assert_allclose(read_images([tmp_path / "x.png"]).x[0], x, atol=1e-7)
    write_png(tmp_path / "g.png", np.array([[-1.0, 2.0]]))
    assert np.asarray(Image.open(tmp_path / "g.png")).tolist() == [[0, 255]]


def test_masks_and_kernels(tmp_path):
    mask = np.random.default_rng(0).random((8, 6)) > 0.5
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)
    np.save(tmp_path / "m.npy", (mask * 255).astype(np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.npy"), mask)
    kernel = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "k.npy", kernel)
    np.testing.assert_array_equal(read_kernel(tmp_path / "k.npy"), kernel)
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(tmp_path / "k.png")
    np.testing.assert_allclose(read_kernel(tmp_path / "k.png"), kernel / 15)
    Image.new("L", (3, 3)).save(tmp_path / "black.png")
    with pytest.raises(ArgumentError, match="black"):
        read_kernel(tmp_path / "black.png")
    for name in ("none.png", "m.zip"):
        with pytest.raises(ArgumentError, match="mask"):
            read_mask(tmp_path / name)
