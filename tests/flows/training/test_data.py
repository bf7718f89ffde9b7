import errno
import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from flowsolve.errors import ArgumentError
from flowsolve.flows.training import data
from flowsolve.flows.training.data import read_store


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def encoded(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_give_the_pixels(tmp_path, suffix, make_picture):
    image = Image.fromarray(make_picture(0, 9, 12))
    image.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    store = read_store([tmp_path], 8, tmp_path)
    assert np.array_equal(store[0], make_picture(0, 9, 12))


def test_other_formats_are_left_out_whatever_they_are_called(tmp_path, make_picture):
    picture = Image.fromarray(make_picture(0))
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.ppm")
    picture.convert("L").save(tmp_path / "c.gif")
    picture.save(tmp_path / "script.png", format="EPS")
    os.mkfifo(tmp_path / "pipe.png")
    store = read_store([tmp_path], 8, tmp_path)
    assert len(store) == 1 and len(store.skipped) == 1
    assert "script.png, which is not an image in PNG, JPEG, WebP, TIFF or BMP" in store.skipped[0]
    with pytest.raises(ArgumentError, match=r"pipe\.png, which is a named pipe"):
        read_store([tmp_path / "pipe.png"], 8, tmp_path)


def test_modes_become_rgb(tmp_path, make_picture):
    grey = make_picture(0)[..., 0]
    Image.fromarray(grey).save(tmp_path / "a-grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "b-deep.png")
    Image.fromarray(np.dstack([make_picture(0), np.full((8, 8), 255, np.uint8)])).save(
        tmp_path / "c-alpha.png"
    )
    store = read_store([tmp_path], 8, tmp_path)
    assert np.array_equal(store[0], np.dstack([grey] * 3))
    assert np.array_equal(store[1], store[0])
    assert np.array_equal(store[2], make_picture(0))


def test_zip_and_folder_are_alike_and_other_files_are_no_images(tmp_path, make_picture):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    files = {f"deep/{i}.png": encoded(make_picture(i)) for i in range(3)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("not an image")
    (folder / "._0.png").write_bytes(b"resource fork")
    path = zipped(tmp_path / "all.zip", {**files, "__MACOSX/deep/0.png": b"x", "readme.md": b"x"})
    one, other = read_store([folder], 8, tmp_path), read_store([path], 8, tmp_path)
    assert len(one) == len(other) == 3 and not one.skipped and not other.skipped
    assert one.fingerprint() == other.fingerprint()
    assert one.subset([0, 1]).fingerprint() != one.fingerprint()
    assert len(read_store([folder, path], 8, tmp_path, limit=4)) == 4


def test_unusable_files_are_named_and_left_out(tmp_path, make_picture):
    good = encoded(make_picture(0))
    files = {
        "a.png": good,
        "broken.png": good[:-40],
        "text.jpg": b"text",
        "small.png": encoded(make_picture(0, 8, 7)),
    }
    store = read_store([zipped(tmp_path / "z.zip", files)], 8, tmp_path)
    assert len(store) == 1
    assert [line.split("/")[-1].split(",")[0] for line in store.skipped] == [
        "broken.png",
        "small.png",
        "text.jpg",
    ]
    assert "7x8, smaller than 8x8" in store.skipped[1]


@pytest.mark.parametrize(
    ("files", "reason"),
    [({}, "without a usable image"), ({"a.png": encoded(np.zeros((4, 4, 3), np.uint8))}, "smaller than 8x8")],
)
def test_nothing_usable_is_refused(tmp_path, files, reason):
    with pytest.raises(ArgumentError, match=reason):
        read_store([zipped(tmp_path / "z.zip", files)], 8, tmp_path)


def test_bad_paths_are_refused(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    (tmp_path / "a.txt").write_text("text")
    for name in ("missing", "bad.zip", "a.txt"):
        with pytest.raises(ArgumentError, match=name):
            read_store([tmp_path / name], 8, tmp_path)


def test_blocks_beyond_the_memory_are_mapped_from_files(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(data, "BLOCK", 500)
    spill = tmp_path / "spill"
    spill.mkdir()
    whole, mapped = read_store([pictures], 8, spill), read_store([pictures], 8, spill, budget=1000)
    assert any(isinstance(block, np.memmap) for block in mapped._blocks)
    assert all(np.array_equal(whole[i], mapped[i]) for i in range(len(whole)))
    assert not list(spill.iterdir())


def test_full_disk_is_said(tmp_path, pictures, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data.tempfile, "mkstemp", full)
    with pytest.raises(ArgumentError, match="disk is full"):
        read_store([pictures], 8, tmp_path, budget=0)
