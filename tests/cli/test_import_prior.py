import json
from pathlib import Path

import pytest
import torch
from flows.foreign.filling import fill

from flowsolve.cli import main
from flowsolve.flows import load_prior

REFERENCE = Path(__file__).parents[1] / "flows" / "foreign" / "reference"


@pytest.fixture
def weights(tmp_path):
    """Return a file of GlowIP's with 3 levels, 2 steps (1 in the last) and 16 hidden channels."""
    shapes = json.loads((REFERENCE / "glowip-affine.json").read_text())["shapes"]
    path = tmp_path / "glowmodel.pt"
    torch.save({name: torch.from_numpy(value) for name, value in fill(shapes).items()}, path)
    return path


@pytest.fixture
def run(weights, tmp_path, capsys):
    """Run ``flowsolve import-prior`` and return (exit code, standard output, standard error)."""

    def run(*arguments, file=weights, out=tmp_path / "prior.safetensors"):
        code = main([str(word) for word in ("import-prior", file, "--out", out, *arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_makes_a_prior_and_says_what_was_found(run, tmp_path):
    code, out, _ = run("--terms", "research only", "--training", "faces", "--summary", "mine", "--size", 16)
    assert code == 0
    for words in (
        "glowip",
        "3 levels of 2 steps, 1 in the last",
        "16 hidden",
        "affine",
        "35,448",
        "round trip",
    ):
        assert words in out, words
    assert float(out.split("largest error ")[1].split()[0]) < 1e-4
    prior = load_prior(tmp_path / "prior.safetensors")
    assert prior.image_shape == (3, 16, 16)
    card = prior.card
    assert (card.summary, card.training, card.terms) == ("mine", "faces", "research only")


def test_options_reach_the_architecture(run, tmp_path):
    biases = ("--coupling-bias", 0.1, "--last-coupling-bias", 0)
    code, out, _ = run("--format", "glowip", "--any-size", "--bits", 8, *biases)
    assert code == 0 and "any size, 8 bits" in out
    config = load_prior(tmp_path / "prior.safetensors").config
    assert config.image_size is None and config.scale_offset == 0.1 and config.last_scale_offset == 0


def test_an_imported_prior_solves(run, solve, tmp_path):
    assert run("--size", 8)[0] == 0
    code, _, err = solve(
        "--prior", tmp_path / "prior.safetensors", "--sigma", 0.05, "--out", tmp_path / "run"
    )
    assert code == 0, err


def test_existing_files_are_replaced_only_with_force(run, tmp_path):
    (tmp_path / "prior.safetensors").write_bytes(b"precious")
    code, _, err = run()
    assert code == 2 and "--force" in err
    assert (tmp_path / "prior.safetensors").read_bytes() == b"precious"
    assert run("--force")[0] == 0
    assert load_prior(tmp_path / "prior.safetensors").config.levels == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "nice"), "accepted: auto, chaiyujin, glowip, rosinality"),
        (("--format", "chaiyujin"), "no tensor named like flow.layers.1"),
        (("--size", 30), "multiples of 2**levels"),
        (("--size", 32, "--any-size"), "one of them"),
        (("--format", "glowip", "--coupling-bias", -1), "coupling_bias: got -1"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run, tmp_path, arguments, words):
    code, out, err = run(*arguments)
    assert code == 2 and err.startswith("flowsolve: ") and err.count("\n") == 1 and words in err
    assert not out and not (tmp_path / "prior.safetensors").exists()


def test_bad_files_and_places(run, tmp_path):
    for keywords, words in (
        ({"file": tmp_path / "none.pt"}, "no such file"),
        ({"out": tmp_path / "prior.pt"}, ".safetensors"),
        ({"out": tmp_path / "nowhere" / "prior.safetensors"}, "folder that exists"),
    ):
        code, _, err = run(**keywords)
        assert code == 2 and words in err
