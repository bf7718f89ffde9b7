"""Any registered operator from the command line, by name or by a file, with measurements as .npy."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.cli import main


@pytest.fixture
def run(prior_file, photographs, tmp_path, capsys):
    def call(*options, images=photographs, out="run"):
        words = ["solve", images, "--prior", prior_file, "--max-iter", 2, "--limit", 2, "--json", "--out"]
        code = main([str(w) for w in (*words, tmp_path / out, "--no-baselines", *options)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("radon", ["angles=6"]),
        ("mosaic", []),
        ("grey", []),
        ("resize", ["factor=2"]),
        ("random_projection", ["m=60"]),
        ("fourier", ['mask={"lines": {"acceleration": 2}}']),
        ("varying_blur", ['kernels=[{"uniform": {"size": 3}}, {"uniform": {"size": 1}}]',
                          'weights={"grid": {"rows": 1, "columns": 2}}']),
    ],
)  # fmt: skip
def test_every_operator_without_a_task(run, tmp_path, name, options):
    words = [word for option in options for word in ("--operator-option", option)]
    code, out, err = run("--operator", name, "--sigma", 0.02, *words)
    assert code == 0, err
    said, record = json.loads(out), fs.open_run(tmp_path / "run" / "run.h5")
    assert said["task"] == name and said["method"]["name"] == "auto" and said["psnr_mean"] > 5
    assert record.config["operator"]["name"] == name
    assert (tmp_path / "run" / "figure.png").exists()


def test_measurements_and_a_file(run, tmp_path):
    operator = ops.Radon(6, (3, 8, 8))
    (tmp_path / "radon.json").write_text(json.dumps(operator.config()))
    (tmp_path / "radon.toml").write_text('name = "radon"\nangles = 6\n')
    x = torch.full((2, 3, 8, 8), 0.5, dtype=torch.float64)
    np.save(tmp_path / "y.npy", operator(x).numpy())
    for file in ("radon.json", "radon.toml"):
        options = ["--operator", tmp_path / file, "--measured", "--sigma", 0.01]
        code, out, err = run(*options, images=tmp_path / "y.npy", out=f"out-{file}")
        assert code == 0, err
        assert json.loads(out)["n_images"] == 2
        assert Image.open(tmp_path / f"out-{file}" / "restored" / "y-0.png").size == (8, 8)
        np.testing.assert_allclose(fs.open_run(tmp_path / f"out-{file}" / "run.h5").problem["y"], operator(x))


def test_noise_of_counts(run, tmp_path):
    code, out, err = run("--operator", "identity", "--noise", "poisson:peak=30")
    assert code == 0, err
    assert json.loads(out)["noise"] == "poisson"
    assert fs.open_run(tmp_path / "run" / "run.h5").config["noise"]["parameters"] == {"peak": 30}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--operator", "radom"], "did you mean 'radon'"),
        (["--operator", "radon", "--task", "deblur"], "task: got deblur beside --operator"),
        ([], "task: got neither --task nor --operator"),
        (["--operator", "radon", "--operator-option", "angle=3"], "operator-option: "),
        (["--operator", "identity", "--operator-option", "dim_shape=3,9,9"], "(3, 8, 8)"),
        (["--operator", "none.json"], "operator: got none.json"),
        (["--operator", "radon", "--kernel-size", "3"], "task-option: got kernel_size beside --operator"),
        (["--task", "deblur", "--operator-option", "angles=3"], "none without --operator"),
        (["--operator", "identity", "--noise", "poisson:peak=30", "--sigma", "0.1"], "one of the two"),
        (["--operator", "identity", "--noise", "poison:peak=30"], "did you mean 'poisson'"),
    ],
)  # fmt: skip
def test_what_is_refused(run, tmp_path, options, message):
    code, out, err = run(*options)
    assert code == 2 and out == "" and message in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()
