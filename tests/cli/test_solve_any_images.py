"""Images as they come: of several sizes, grey, of 16 bits, in arrays, by tiles."""

import json

import numpy as np
import pytest
from PIL import Image

import flowsolve as fs
from flowsolve.cli import main
from flowsolve.flows import FlowPrior, Glow, GlowConfig, save_prior
from flowsolve.images import read_each


@pytest.fixture(scope="module")
def any_size(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "any.safetensors"
    save_prior(path, FlowPrior(Glow(GlowConfig(channels=3, levels=2, steps=1, hidden=4), seed=3), name="any"))
    return path


@pytest.fixture
def restore(any_size, tmp_path, capsys):
    def run(*arguments, images, task="denoise"):
        words = [
            "solve",
            *images,
            "--task",
            task,
            "--prior",
            any_size,
            "--max-iter",
            2,
            "--out",
            tmp_path / "out",
        ]
        code = main([str(word) for word in (*words, *arguments)])
        return code, *capsys.readouterr()

    return run


def smooth(height, width, channels=3):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([0.5 + 0.4 * np.sin((rows + c) / 3) * np.cos(columns / 4) for c in range(channels)], -1)


def save(path, image, bits=8):
    Image.fromarray(np.rint(image.squeeze() * (2**bits - 1)).astype(f"u{bits // 8}")).save(path)


def test_sizes_and_grey_images_mix_and_the_summary_says_what_is_from_where(restore, tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a#1.png", smooth(8, 12))
    save(tmp_path / "in" / "a_1.png", smooth(12, 8))
    save(tmp_path / "in" / "b.png", smooth(8, 12, 1))
    save(tmp_path / "in" / "c.png", smooth(8, 12))
    save(tmp_path / "in" / "tiny.bmp", smooth(3, 5))
    code, out, err = restore(images=[tmp_path / "in"])
    assert code == 0, err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [len(summary["records"]), summary["n_images"]] == [4, 5]
    sources = {}
    for image in summary["images"]:
        written = tmp_path / "out" / image["output"]
        record = fs.open_run(tmp_path / "out" / image["record"])
        (source,), (found,) = read_each([image["source"]]), read_each([written])
        assert found.x.shape == source.x.shape
        truth = record.problem["x_true"][image["index"]]
        np.testing.assert_allclose(truth, source.x, atol=1e-6)
        sources[image["source"]] = written
    assert len(set(sources.values())) == 5 and "run-12x8-grey.h5" in out
    assert np.asarray(Image.open(tmp_path / "out" / "restored" / "b.png")).ndim == 2


def test_an_earlier_run_of_several_sizes_is_replaced_whole(restore, tmp_path):
    save(tmp_path / "a.png", smooth(8, 12))
    save(tmp_path / "b.png", smooth(12, 8))
    assert restore(images=[tmp_path / "a.png", tmp_path / "b.png"])[0] == 0
    code, _, err = restore(images=[tmp_path / "a.png"])
    assert code == 2 and "has a run in it" in err
    assert restore("--force", images=[tmp_path / "a.png"])[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("*.h5")) == ["run.h5"]
    assert [p.name for p in (tmp_path / "out" / "restored").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("options", "suffix", "dtype"),
    [
        (["--dtype-out", "uint16"], "png", np.uint16),
        (["--dtype-out", "float32"], "tiff", np.float32),
        (["--dtype-out", "float32", "--format", "npy"], "npy", np.float32),
    ],
)
def test_what_is_written(restore, tmp_path, options, suffix, dtype):
    np.save(tmp_path / "a.npy", (smooth(8, 8, 1)[..., 0] * 4095).astype(np.uint16))
    code, _, err = restore(*options, "--range", "0,4095", images=[tmp_path / "a.npy"])
    assert code == 0, err
    (found,) = read_each([tmp_path / "out" / "restored" / f"a.{suffix}"], clean=False)
    record = fs.open_run(tmp_path / "out" / "run.h5")
    expected = record.best["x"][0] if dtype == np.float32 else np.clip(record.best["x"][0], 0, 1)
    np.testing.assert_allclose(found.x, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layout", "CWH"], "layout: got 'CWH'"),
        (["--range", "a"], "LOW,HIGH"),
        (["--dtype-out", "int8"], "dtype-out"),
        (["--dtype-out", "float32", "--format", "png"], "tiff or npy"),
        (["--tile", "big"], "tile: got 'big'"),
        (["--tile", "8"], "tile: got 8; accepted: at least"),
    ],
)
def test_bad_options_leave_no_folder(restore, tmp_path, options, message):
    save(tmp_path / "a.png", smooth(8, 12))
    code, _, err = restore(*options, images=[tmp_path / "a.png"])
    assert code == 2 and message in err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [[], ["--solver", "adam", "--lam", "0.01"]])
def test_by_tiles(restore, tmp_path, options):
    save(tmp_path / "a.png", smooth(40, 72, 1))
    code, _, err = restore("--tile", "48", *options, images=[tmp_path / "a.png"])
    assert code == 0, err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["record"] is None and any("tiles" in note for note in summary["notes"])
    assert Image.open(tmp_path / "out" / "restored" / "a.png").size == (72, 40)
