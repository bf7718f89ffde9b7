"""``flowsolve check-prior``: what it prints and returns."""

import sys

import numpy as np
import pytest
import torch
from helpers import make_tiny_prior
from PIL import Image

from flowsolve.cli import main
from flowsolve.flows import FlowPrior, Glow, GlowConfig, health, load_prior, save_prior
from flowsolve.flows.padding import reflect


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main(["check-prior", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def any_size(tmp_path):
    path = tmp_path / "any.safetensors"
    save_prior(path, FlowPrior(Glow(GlowConfig(image_size=None, levels=2, steps=1, hidden=4), seed=1)))
    return path


def test_a_sound_prior_on_its_own_samples(run, tmp_path):
    glow = make_tiny_prior().glow
    with torch.no_grad():
        # Images of less contrast than noise, as of a flow that was trained.
        glow.levels[0].steps[0].actnorm.log_scale.add_(2.5)
    save_prior(tmp_path / "sound.safetensors", FlowPrior(glow))
    code, out, _ = run(tmp_path / "sound.safetensors", "--samples", 3)
    assert code == 0 and out.endswith("\nno problems found\n")
    assert "samples at temperature 0.7\n3 images, float32" in out and "samples at temperature 1\n" in out


def test_images_that_the_prior_does_not_know_are_a_problem(run, prior_file, tmp_path):
    Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(tmp_path / "white.png")
    code, out, _ = run(prior_file, "--image", tmp_path / "white.png", "--dtype", "float64")
    problems = [line for line in out.splitlines() if line.startswith("PROBLEM: 1 of 1 images (number 0): ")]
    assert code == 1 and out.endswith(f"\n{len(problems)} problem{'s' * (len(problems) > 1)} found\n")
    assert any("bits a dimension are more than those of uniform noise" in line for line in problems)


def test_several_folders_and_a_limit(run, prior_file, photographs):
    _, out, _ = run(prior_file, "--image", photographs, "--image", photographs / "photo0.png", "--limit", 2)
    assert "2 images" in out and "1 image, " in out and "temperature" not in out


def test_a_prior_of_any_size(run, any_size, tmp_path):
    code, out, _ = run(any_size, "--samples", 1)
    assert "any size" in out and code in (0, 1)
    Image.fromarray(np.zeros((11, 14, 3), np.uint8)).save(tmp_path / "odd.png")
    assert "odd.png\n1 image, " in run(any_size, "--image", tmp_path / "odd.png")[1]
    Image.fromarray(np.zeros((11, 3, 3), np.uint8)).save(tmp_path / "thin.png")
    assert "thin.png\n1 image, " in run(any_size, "--image", tmp_path / "thin.png")[1]


def test_a_prior_of_any_size_sees_the_whole_image(run, any_size, tmp_path):
    pixels = np.full((11, 14, 3), 128, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    pixels[-1, -1] = 255
    Image.fromarray(pixels).save(tmp_path / "corner.png")
    plain, corner = (
        run(any_size, "--image", tmp_path / f"{name}.png")[1].split(".png\n")[1]
        for name in ("plain", "corner")
    )
    assert plain != corner


def test_a_reflected_image_counts_as_many_dimensions_as_its_latent(any_size):
    prior = load_prior(any_size, dtype=torch.float64)
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, reflected = health(prior, x), health(prior, reflect(x, (8, 8)))
    assert found.n == reflected.n == 3 * 8 * 8
    np.testing.assert_allclose(found.bits_per_dim, reflected.bits_per_dim)
    np.testing.assert_allclose(found.log_det, reflected.log_det)
    assert found.image_error.max() < 1e-9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "nobody"),
        (["{file}", "--samples", "0"], "samples: got 0; accepted: an integer >= 1"),
        (["{file}", "--dtype", "float16"], "dtype: got 'float16'; accepted: float32 or float64"),
        (["{file}", "--image", "nothing.png"], "nothing.png"),
        (["{file}", "--image", "{wrong}"], "wrong.png of 9x9"),
        (["{wrong}"], "wrong.png"),
    ],
)
def test_bad_arguments_are_one_line_and_code_2(run, prior_file, tmp_path, arguments, message):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "wrong.png")
    words = [word.format(file=prior_file, wrong=tmp_path / "wrong.png") for word in arguments]
    code, _, err = run(*words)
    assert code == 2 and message in err and err.count("\n") == 1


def test_a_prior_trained_with_noise_judges_images_with_it(tiny_prior):
    from types import SimpleNamespace

    from flowsolve.cli.check_prior import check_noise, trained_with
    from flowsolve.errors import ArgumentError

    assert trained_with(tiny_prior) == 0
    cards = [
        ({"noise_sigma": 0.03}, 0.03),
        ({"noise_width": 1 / 32}, 1 / 32 / 12**0.5),
        ({"noise_sigma": None}, 0),
    ]
    for fields, deviation in cards:
        assert trained_with(SimpleNamespace(card=SimpleNamespace(**fields))) == pytest.approx(deviation)
    for bad in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="noise"):
            check_noise(bad)


def test_the_conformance_kit_is_run(run, prior_file):
    _, out, _ = run(prior_file, "--samples", 1)
    assert "conformance: 14 passed, 0 failed, 0 skipped\n" in out
    _, out, _ = run(prior_file, "--samples", 1, "--verbose")
    assert "pass record and rerun" in out


@pytest.fixture
def own_priors(tmp_path, monkeypatch):
    (tmp_path / "my_priors.py").write_text(
        "from outside_priors import make_denoiser, make_energy, roughness\n"
        "from flowsolve.priors import EnergyPrior\n"
        "ENERGY = make_energy()\n"
        "BATCHED = EnergyPrior(lambda x: roughness(x) + roughness(x).mean())\n"
        "NUMBER = 3\n"
        "def denoiser(*, device, dtype):\n"
        "    return make_denoiser(dtype, device=device, sigma=0.05)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_priors", None)


def test_priors_of_ones_own(run, own_priors):
    code, out, _ = run("my_priors:ENERGY")
    assert code == 0 and "energy, sha256" in out and out.endswith("\nno problems found\n")
    code, out, _ = run("my_priors:denoiser", "--dtype", "float64")
    assert code == 0 and "DenoiserPrior('Smoother', any size, torch.float64, 'cpu'), denoiser" in out
    code, out, _ = run("my_priors:BATCHED")
    assert code == 1 and "FAIL batch: value [<lambda>, energy, float32]" in out


def test_what_is_no_prior(run, own_priors):
    code, _, error = run("my_priors:NUMBER")
    assert code == 2 and "prior: got my_priors:NUMBER, a int; accepted: a flowsolve.priors.Prior" in error
    code, _, error = run("my_priors:NOTHING")
    assert code == 2 and "prior: got 'NOTHING', which my_priors has not; accepted: MODULE:NAME of" in error
