"""Photographs that a camera blurred: larger images than what was measured of them."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.signal import convolve
from skimage import data

import flowsolve as fs
from flowsolve.cli import main
from flowsolve.recording.classical import classical_psnr, restored_psnr


@pytest.fixture
def camera(tmp_path):
    """Return a photograph blurred and noisy as a camera's, and what it is of, both 32x30."""
    scene = data.astronaut()[60:98, 200:238].transpose(2, 0, 1) / 255.0
    kernel = np.random.default_rng(1).random((7, 9)) ** 4
    np.save(tmp_path / "kernel.npy", kernel / kernel.sum())
    blurred = np.stack([convolve(plane, kernel / kernel.sum(), mode="valid") for plane in scene])
    blurred += 0.004 * np.random.default_rng(0).standard_normal(blurred.shape)
    np.save(tmp_path / "photo.npy", blurred.astype(np.float32))
    return scene[:, 3 : 3 + 32, 4 : 4 + 30]


def solve(tmp_path, out, *options):
    words = ["solve", tmp_path / "photo.npy", "--measured", "--task", "deblur", "--sigma", 0.004, "--json"]
    words += ["--kernel", tmp_path / "kernel.npy", "--prior", "natural", "--max-iter", 4, "--threads", 1]
    return main([str(w) for w in (*words, "--out", tmp_path / out, *options)])


def test_a_photograph_is_taken_as_a_camera_took_it(camera, tmp_path, capsys):
    assert solve(tmp_path, "a") == 0
    said = json.loads(capsys.readouterr().out)
    assert any("boundary crop" in note for note in said["notes"]) and "total-variation" in said["baseline"]
    restored = np.asarray(Image.open(tmp_path / "a/restored/photo.png")) / 255.0
    assert restored.shape == (32, 30, 3)
    record = fs.open_run(tmp_path / "a" / "run.h5")
    assert record.config["operator"]["name"] == "valid_blur" and record.best["x"].shape == (1, 3, 38, 38)
    assert record.config["frame"] == [[3, 35], [4, 34]]
    right = -10 * np.log10(((restored.transpose(2, 0, 1) - camera) ** 2).mean())
    assert solve(tmp_path, "b", "--boundary", "circular") == 0
    restored = np.asarray(Image.open(tmp_path / "b/restored/photo.png")) / 255.0
    wrong = -10 * np.log10(((restored.transpose(2, 0, 1) - camera) ** 2).mean())
    assert right > wrong + 5


def test_of_clean_images_the_frame_is_compared(tmp_path, prior_file, photographs, capsys):
    words = ["solve", photographs, "--task", "deblur", "--kernel-size", 3, "--boundary", "crop", "--json"]
    words += ["--prior", prior_file, "--max-iter", 2, "--out", tmp_path / "run", "--limit", 2]
    assert main([str(w) for w in words]) == 0
    said = json.loads(capsys.readouterr().out)
    record = fs.open_run(tmp_path / "run" / "run.h5")
    assert record.problem["y"].shape == (2, 3, 6, 6) and record.problem["x_true"].shape == (2, 3, 8, 8)
    assert np.mean(restored_psnr(record)) == pytest.approx(said["psnr_mean"])
    shown = record.final["x"][..., 1:7, 1:7], record.problem["x_true"][..., 1:7, 1:7]
    np.testing.assert_allclose(record.trace["psnr"][-1], fs.psnr(*shown), rtol=1e-6)
    assert set(classical_psnr(record)) == {"total-variation"}


def test_a_prior_of_one_size_takes_the_mirror_image(tmp_path, prior_file, photographs, capsys):
    words = ["solve", photographs, "--measured", "--task", "deblur", "--kernel-size", 3, "--sigma", 0.01]
    words += ["--prior", prior_file, "--max-iter", 1, "--out", tmp_path / "run", "--json"]
    assert main([str(w) for w in words]) == 0
    assert "boundary reflect" in json.loads(capsys.readouterr().out)["notes"]
    assert main([str(w) for w in (*words, "--boundary", "crop", "--force")]) == 2
    assert "images of 10x10" in capsys.readouterr().err


@pytest.mark.parametrize("boundary", ["zero", "reflect", "replicate"])
def test_every_boundary_can_be_asked_for(tmp_path, prior_file, photographs, boundary):
    words = [
        "solve",
        photographs,
        "--task",
        "deblur",
        "--kernel-size",
        3,
        "--boundary",
        boundary,
        "--limit",
        1,
    ]
    words += ["--prior", prior_file, "--max-iter", 1, "--out", tmp_path / "run", "--no-baselines"]
    assert main([str(w) for w in words]) == 0
    assert fs.open_run(tmp_path / "run" / "run.h5").config["operator"]["boundary"] == boundary


def test_opaque_pixels_are_what_was_measured(tmp_path, prior_file, photographs, capsys):
    image = np.array(Image.open(photographs / "photo0.png").convert("RGBA"))
    image[2:5, 3:6, 3] = 0
    image[6, 6, 3] = 200
    Image.fromarray(image).save(tmp_path / "cut.png")
    words = ["solve", tmp_path / "cut.png", "--measured", "--task", "inpaint-box", "--sigma", 0, "--prior"]
    words += [prior_file, "--max-iter", 2, "--out", tmp_path / "run", "--mask", "alpha"]
    assert main([str(w) for w in words]) == 0
    y = fs.open_run(tmp_path / "run" / "run.h5").problem["y"][0]
    assert (y[:, 2:5, 3:6] == 0).all() and (y[:, 6, 6] == 0).all() and (y[:, 0, 0] > 0).all()
    capsys.readouterr()
    words[1] = photographs / "photo0.png"
    assert main([str(w) for w in (*words, "--force")]) == 2
    assert "mask: got alpha, but" in capsys.readouterr().err
