import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers import Ticks
from PIL import Image
from study_records import make_cell, make_study

from flowsolve.cli import advising, main
from flowsolve.cli.pipeline import Request
from flowsolve.studies.advise import advise as find_advice
from flowsolve.studies.candidates import Candidate, MethodCandidate


@pytest.fixture
def advise(prior_file, photographs, capsys, tmp_path, monkeypatch):
    """Run ``flowsolve advise`` and return (exit code, standard output, standard error).

    Its clock takes two milliseconds an iteration.
    """

    def by_ticks(*arguments, began, **options):
        return find_advice(*arguments, clock=Ticks(), **options)

    monkeypatch.setattr(advising, "find_advice", by_ticks)

    def run(*arguments, task="inpaint-random", images=None, prior=prior_file, budget=0.1):
        images = [photographs] if images is None else images
        words = ["advise", *images, "--task", task, "--prior", prior, "--budget", budget]
        code = main([str(word) for word in (*words, "--out", tmp_path / "advised", *arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def paste(command, capsys):
    words = shlex.split(command)
    assert words[0] == "flowsolve"
    code = main([*words[1:], "--max-iter", "2"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_prints_a_paragraph_a_table_and_a_command_that_runs(advise, tmp_path, capsys):
    code, out, _ = advise("--solver", "lbfgs", "--solver", "adam", "--seed", 3)
    assert code == 0
    command = out.strip().splitlines()[-1]
    assert command.startswith("flowsolve solve ") and "--seed 3" in command and "--max-iter" in command
    assert "4 of 4 combinations ran on 3 images" in " ".join(out.split())
    assert "chosen" in out and "runner-up" in out
    paste(command, capsys)
    config = json.loads((tmp_path / "advised" / "summary.json").read_text())
    assert f"--solver {config['solver']}" in command and f"--init {config['init']}" in command
    # The folder has a run now: the next advice is for another one.
    _, out, _ = advise("--solver", "adam", "--formulation", "analysis", budget=0.05)
    assert f"--out {tmp_path / 'advised-2'}" in out.strip().splitlines()[-1]


def test_measurements_are_ranked_by_what_was_held_out(advise, tmp_path, capsys):
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[::2] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    code, out, err = advise(
        "--measured", "--sigma", 0.02, "--mask", tmp_path / "mask.png", "--formulation", "analysis", "--json"
    )
    assert code == 0, err
    said = json.loads(out)
    assert said["criterion"] == "held-out" and said["chosen"]["init"] == "harmonic"
    assert "--measured" in said["command"] and "not shown" in said["paragraph"]
    paste(said["command"], capsys)


def test_json_is_one_object_with_all_that_was_tried(advise):
    code, out, _ = advise("--lam", "0.3map", "--sigma", 0.05, "--sample", 2, "--json")
    said = json.loads(out)
    assert code == 0 and said["images"] == 2 and said["chosen"]["lam"] == "0.000375"
    # Two combinations, and the method that runs where nothing is asked for.
    combinations = [t for t in said["tried"] if "method" not in t]
    assert len(said["tried"]) == 3 and said["tried"][0]["verdict"] == "chosen"
    assert combinations[0]["score"] >= combinations[1]["score"]


def test_the_command_of_auto_has_no_options_of_solvers(tmp_path):
    request = Request(images=(Path("a.png"),), task="deblur", out=tmp_path / "out", sigma=0.01)
    line = advising.command(request, MethodCandidate("auto"), None)
    assert line == f"flowsolve solve a.png --task deblur --out {tmp_path / 'out'} --sigma 0.01"
    assert "--method asim-2020" in advising.command(request, MethodCandidate("asim-2020"), None)
    chosen = Candidate("analysis", "nll", "map", "lbfgs", "tikhonov")
    assert advising.command(request, chosen, 17).endswith("--max-iter 17")


def test_from_studies_without_running(advise, tiny_prior, tmp_path, capsys):
    name = tiny_prior.name
    cells = [make_cell("lbfgs", prior=name), make_cell("adam", prior=name)]
    make_study(tmp_path / "study", tiny_prior, cells)
    code, out, err = advise("--from", tmp_path / "study", "--sigma", 0.05, prior=name)
    # The name of a prior that is in no list is refused only by the run itself.
    assert code == 0, err
    command = out.strip().splitlines()[-1]
    assert command.startswith("flowsolve solve ") and "2 finished runs" in " ".join(out.split())
    assert "PSNR" in out and "p" in out and "--sigma 0.05" in command
    code, out, _ = advise("--from", tmp_path / "study", "--sigma", 0.05, "--json", prior=name)
    assert code == 0 and len(json.loads(out)["tried"]) == 2


def test_paths_with_odd_names_are_quoted(advise, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / "-a photo's (1).png"
    odd.write_bytes((photographs / "photo0.png").read_bytes())
    code, out, err = advise(
        "--solver", "adam", "--formulation", "analysis", images=["./-a photo's (1).png"], budget=0.05
    )
    assert code == 0, err
    paste(out.strip().splitlines()[-1], capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", 0], "budget: got 0.0; accepted: a number of seconds > 0"),
        (["--sample", 0], "sample: got 0"),
        (["--criterion", "beauty"], "criterion: got 'beauty'"),
        (["--solver", "magic"], "'magic'"),
        (["--init", "nowhere"], "init: got 'nowhere'"),
        (["--lam", "much"], "lam: got 'much'"),
        (["--formulation", "both"], "formulation: got 'both'"),
        (["--from", "/nothing/there"], "paths: got /nothing/there, which is not there"),
        (["--init", "bicubic"], "a combination that can be run on the problem"),
    ],
)
def test_bad_input_is_one_line(arguments, message, advise):
    code, out, err = advise(*arguments)
    assert code == 2 and out == "" and message in err and "Traceback" not in err
