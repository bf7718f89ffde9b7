import io
import logging
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from flowsolve.encoding import write_png
from flowsolve.errors import ArgumentError
from flowsolve.images import grouped, read_each, read_images, read_kernel, read_mask
from flowsolve.layouts import Reading
from flowsolve.sources import find_images


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
        np.zeros(8),
        np.zeros((8, 8, 2, 2)),
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
    np.testing.assert_array_equal(read_kernel(tmp_path / "k.npy", scale="as-is"), kernel)
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(tmp_path / "k.png")
    np.testing.assert_allclose(read_kernel(tmp_path / "k.png"), kernel / 15)
    Image.new("L", (3, 3)).save(tmp_path / "black.png")
    with pytest.raises(ArgumentError, match="black"):
        read_kernel(tmp_path / "black.png")
    for name in ("none.png", "m.zip"):
        with pytest.raises(ArgumentError, match="mask"):
            read_mask(tmp_path / name)


def kernel_file(folder, kernel):
    np.save(folder / "k.npy", kernel)
    return folder / "k.npy"


def test_a_kernel_near_one_is_divided_by_its_sum_and_that_is_said(tmp_path, caplog):
    box = np.full((4, 4), 1 / 16)
    with caplog.at_level(logging.WARNING, "flowsolve"):
        np.testing.assert_array_equal(read_kernel(kernel_file(tmp_path, box)), box)
        assert not caplog.records
        np.testing.assert_allclose(read_kernel(kernel_file(tmp_path, box * 1.009)), box, rtol=1e-15)
    assert "of sum 1.009, divided by its sum" in caplog.text


def test_any_other_kernel_asks_what_to_do(tmp_path, caplog):
    path = kernel_file(tmp_path, np.full((4, 5), 1.0))
    with pytest.raises(
        ArgumentError, match=r"sums to 20; accepted: .*--kernel-scale .*normalise .* or as-is"
    ):
        read_kernel(path)
    with caplog.at_level(logging.WARNING, "flowsolve"):
        np.testing.assert_allclose(read_kernel(path, scale="normalise"), np.full((4, 5), 0.05))
        assert read_kernel(path, scale="as-is").sum() == 20
    assert "divided by its sum" in caplog.text and "taken as it is" in caplog.text
    with pytest.raises(ArgumentError, match="kernel-scale: got 'half'"):
        read_kernel(path, scale="half")


def test_kernels_of_channels_are_scaled_one_by_one(tmp_path):
    kernel = np.random.default_rng(0).random((3, 3, 4))
    np.testing.assert_allclose(
        read_kernel(kernel_file(tmp_path, kernel), scale="normalise").sum((1, 2)), np.ones(3)
    )


@pytest.mark.parametrize("kernel", [[[1.0, -1.0]], [[-1.0, -1.0]]])
def test_a_kernel_without_a_positive_sum_can_only_be_taken_as_it_is(tmp_path, kernel):
    path = kernel_file(tmp_path, np.array(kernel))
    for scale in (None, "normalise"):
        with pytest.raises(ArgumentError, match="as-is"):
            read_kernel(path, scale=scale)
    np.testing.assert_array_equal(read_kernel(path, scale="as-is"), kernel)


def test_an_image_kernel_has_a_gain_only_if_asked_for(tmp_path, caplog):
    Image.new("L", (3, 3), 51).save(tmp_path / "k.png")
    with caplog.at_level("WARNING", "flowsolve"):
        np.testing.assert_allclose(read_kernel(tmp_path / "k.png").sum(), 1)
        np.testing.assert_allclose(read_kernel(tmp_path / "k.png", scale="normalise").sum(), 1)
        np.testing.assert_allclose(read_kernel(tmp_path / "k.png", scale="as-is").sum(), 9 * 0.2)
    assert "of sum 1.8, divided by its sum" in caplog.text and "of sum 1.8, taken as it is" in caplog.text


def test_transparency_is_laid_on_white_and_has_no_meaning_in_masks_and_kernels(tmp_path):
    grey = Image.fromarray(np.array([[0, 100, 200]], dtype=np.uint8))
    grey.save(tmp_path / "grey.png", transparency=100)
    grey.convert("P").save(tmp_path / "palette.png", transparency=100)
    np.testing.assert_allclose(read_images([tmp_path]).x[:, 0, 0] * 255, [[0, 255, 200]] * 2, atol=1e-4)
    for read in (read_mask, read_kernel):
        with pytest.raises(ArgumentError, match="transparent"):
            read(tmp_path / "grey.png")


def test_pipes_and_devices_are_never_opened(tmp_path):
    for suffix in ("png", "npy", "zip"):
        os.mkfifo(tmp_path / f"pipe.{suffix}")
        (tmp_path / f"zero.{suffix}").symlink_to("/dev/zero")
    Image.new("L", (3, 3), 9).save(tmp_path / "real.png")
    assert read_images([tmp_path]).names == ["real"]
    for name, what in (("pipe", "a named pipe"), ("zero", "a device")):
        for suffix in ("png", "npy", "zip"):
            with pytest.raises(ArgumentError, match=f"which is {what}"):
                read_images([tmp_path / f"{name}.{suffix}"])
        for read in (read_mask, read_kernel):
            with pytest.raises(ArgumentError, match=f"which is {what}"):
                read(tmp_path / f"{name}.npy")


@pytest.mark.parametrize("shape", [(10**6, 10**6, 10**3), (10**30,), (-1,), "no shape"])
def test_arrays_of_made_up_shapes_are_refused(tmp_path, shape):
    header = repr({"descr": "<f8", "fortran_order": False, "shape": shape}).encode() + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(ArgumentError, match=r"a\.npy, which cannot be read"):
        read_images([tmp_path / "a.npy"])


def test_large_files_and_entries_are_refused_by_their_size(tmp_path):
    sparse = tmp_path / "large.png"
    with sparse.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ArgumentError, match="larger than"):
        read_images([sparse])


def test_images_of_any_size_come_as_they_are_and_in_groups(tmp_path):
    Image.fromarray(pixels(size=(8, 6))).save(tmp_path / "a.png")
    Image.fromarray(pixels(size=(6, 8))).save(tmp_path / "b.bmp")
    Image.fromarray(pixels(1, size=(8, 6), channels=0)).convert("RGB").save(tmp_path / "c.png")
    Image.fromarray(pixels(2, size=(8, 6))).save(tmp_path / "d.tif")
    found = read_each([tmp_path])
    assert [image.x.shape for image in found] == [(3, 8, 6), (3, 6, 8), (1, 8, 6), (3, 8, 6)]
    assert [image.source for image in found] == [
        str(tmp_path / n) for n in ("a.png", "b.bmp", "c.png", "d.tif")
    ]
    assert [group.names for group in grouped(found)] == [["a", "d"], ["b"], ["c"]]


def test_what_is_assumed_of_arrays_is_said_once(tmp_path, caplog):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.full((4, 5), 4095, np.uint16))
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    with caplog.at_level(logging.WARNING, "flowsolve"):
        read_each(paths)
    assert len(caplog.records) == 1 and "a.npy and 1 more: of whole numbers up to 4095" in caplog.text
    caplog.clear()
    found = read_each(paths, reading=Reading(range=(0, 4095)))
    assert not caplog.records and found[0].x.max() == 1


def test_a_range_holds_for_image_files_too(tmp_path):
    twelve = np.array([[0, 4095]], np.uint16)
    Image.fromarray(twelve).save(tmp_path / "a.png")
    (found,) = read_each([tmp_path / "a.png"], reading=Reading(range=(0, 4095)))
    np.testing.assert_allclose(found.x, [[[0, 1]]], atol=1e-6)


def test_arrays_within_files_are_named_in_messages_and_sources(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 5)), bad=np.full((4, 5), 1.5))
    (found,) = read_each([f"{tmp_path}/a.npz:x"])
    assert (found.name, found.source) == ("a", f"{tmp_path}/a.npz:x")
    with pytest.raises(ArgumentError, match=r"a\.npz:bad with values from 1\.5 to 1\.5.*--range"):
        read_each([f"{tmp_path}/a.npz:bad"])
