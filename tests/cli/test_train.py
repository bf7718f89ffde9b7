import os
import signal

import pytest

from flowsolve.cli import main
from flowsolve.cli.train import ProgressBar
from flowsolve.flows import load_prior


@pytest.fixture
def train(photographs, tmp_path, capsys):
    """Run ``flowsolve train`` on three 8x8 photographs and return (exit code, standard error)."""

    def run(*arguments, data=None):
        sizes = ["--size", 8, "--levels", 2, "--steps", 1, "--hidden", 4, "--batch", 2, "--max-updates", 4]
        words = ["train", data or photographs, "--hours", 10, "--out", tmp_path / "out", *sizes, *arguments]
        code = main([str(word) for word in words])
        return code, capsys.readouterr().err

    return run


def test_trains_and_says_where_the_prior_is(train, tmp_path):
    code, err = train("--terms", "mine", "--coupling", "affine")
    assert code == 0
    assert "bits/dim" in err and "Prior:" in err
    prior = load_prior(tmp_path / "out" / "prior.safetensors")
    assert prior.config.coupling == "affine" and prior.card.terms == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--coupling", "cubic"), "coupling"),
        (("--size", 9), "multiple of 2**levels"),
        (("--size", 16), "without a usable image"),
        (("--device", "abacus"), "device"),
        (("--resume",), "no checkpoint"),
        (("--init", "nobody"), "nobody"),
        (("--validation", "missing.zip"), "validation: got missing.zip"),
    ],
)
def test_bad_input_is_one_line_and_code_2(train, arguments, words):
    code, err = train(*arguments)
    last = err.strip().splitlines()[-1]
    assert code == 2 and last.startswith("flowsolve: ") and words in last
    assert "Traceback" not in err


def test_empty_folder_is_refused(train, tmp_path):
    (tmp_path / "empty").mkdir()
    code, err = train(data=tmp_path / "empty")
    assert code == 2 and "empty without a usable image" in err


def test_interrupted_then_resumed(train, monkeypatch):
    stepped = ProgressBar.stepped

    def interrupt(self, status):
        stepped(self, status)
        if status.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ProgressBar, "stepped", interrupt)
    code, err = train()
    assert code == 130 and "--resume goes on" in err
    monkeypatch.undo()
    code, err = train("--resume")
    assert code == 0 and "step 4: validation" in err
