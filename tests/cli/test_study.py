import json

import pytest

import flowsolve as fs
from flowsolve.cli import main

TEXT = """
[budget]
max_iter = 2
[[cells]]
task = ["deblur", "denoise"]
solver = ["lbfgs", "adam"]
prior = "{prior}"
start = "adjoint"
"""


@pytest.fixture
def study(tmp_path, prior_file):
    """Write a study file without its images, which are in the folder of --data."""

    def write(text=TEXT):
        path = tmp_path / "study.toml"
        path.write_text('images = "."\n' + text.format(prior=prior_file), encoding="utf-8")
        return path

    return write


@pytest.fixture
def call(photographs, capsys):
    def run(*words, data=True):
        code = main([str(word) for word in ("study", *words, *(["--data", photographs] if data else []))])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_new_writes_a_file_that_is_not_replaced(call, tmp_path):
    path = tmp_path / "mine.toml"
    code, out, _ = call("new", path, data=False)
    assert code == 0 and "study plan" in out
    path.write_text("changed")
    code, _, err = call("new", path, data=False)
    assert code == 2 and "--force" in err and path.read_text() == "changed"
    assert call("new", path, "--force", data=False)[0] == 0 and "[[cells]]" in path.read_text()
    code, _, err = call("new", tmp_path / "none" / "a.toml", data=False)
    assert code == 2 and err.count("\n") == 1


def test_plan_prints_cells_their_number_and_the_time(call, study):
    code, out, _ = call("plan", study(), "--workers", 2)
    assert code == 0
    assert "4 cells of 3 images" in out and "at most about" in out and "2 workers" in out
    assert sum("adam" in line for line in out.splitlines()) == 2
    code, out, _ = call("plan", study(), "--no-probe", "--json")
    document = json.loads(out)
    assert code == 0 and len(document["cells"]) == 4 and document["seconds"] is None


def test_plan_says_what_is_left_out(call, study):
    text = "skip_impossible = true\n" + TEXT.replace('"adjoint"', '["adjoint", "harmonic"]')
    code, out, _ = call("plan", study(text), "--no-probe")
    assert code == 0 and "4 cells" in out and "left out (2 cells, line 10): start 'harmonic'" in out


def test_every_mistake_is_a_line_on_standard_error(call, study):
    path = study("colour = 1\n" + TEXT.replace('"lbfgs"', '"lbfg"').replace('"adjoint"', '"harmonic"'))
    for command in (["plan"], ["run", "--out", path.parent / "out"]):
        code, out, err = call(command[0], path, *command[1:])
        lines = err.splitlines()
        assert code == 2 and out == "" and "Traceback" not in err
        assert [line.split(": ")[0] for line in lines] == [f"{path}:{n}" for n in (2, 8, 10, 10)]
    assert not (path.parent / "out").exists()


def test_run_and_run_again(call, study, tmp_path):
    code, out, err = call("run", study(), "--out", tmp_path / "out")
    assert code == 0 and "4 of 4 cells done: 4 now (0 resumed), 0 before; 0 failed" in out
    assert "[4/4]" in err and "Traceback" not in err
    records = list((tmp_path / "out" / "runs").iterdir())
    assert {fs.open_run(path).status for path in records} == {"finished"} and len(records) == 4
    code, out, _ = call("run", study(), "--out", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out) == {
        "cells": 4,
        "skipped": 4,
        "finished": 0,
        "resumed": 0,
        "failed": 0,
        "failures": [],
    }


def test_failed_cells_are_listed_and_the_exit_code_says_so(call, study, tmp_path, monkeypatch):
    from flowsolve.studies import cell

    build = cell.build_operator

    def broken(which, inputs):
        if which.task == "denoise":
            raise MemoryError("too [large]")
        return build(which, inputs)

    monkeypatch.setattr(cell, "build_operator", broken)
    code, out, err = call("run", study(), "--out", tmp_path / "out")
    assert code == 1 and "2 failed" in out and "--retry-failed" in out
    assert out.count("MemoryError: too [large]") == 2 and "Traceback" not in err
    monkeypatch.undo()
    assert call("run", study(), "--out", tmp_path / "out")[0] == 1
    code, out, _ = call("run", study(), "--out", tmp_path / "out", "--retry-failed")
    assert code == 0 and "2 now" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], "scheduler: got tcp://127.0.0.1:9, which cannot be reached"),
        (
            ["--scheduler", "tcp://127.0.0.1:9", "--workers", "2"],
            "scheduler: got one together with --workers",
        ),
        (["--workers", "0"], "workers: got 0"),
        (["--transfer", "post"], "transfer: got 'post'; accepted: path or array"),
    ],
)
def test_bad_options_are_one_line(call, study, tmp_path, words, said):
    code, out, err = call("run", study(), "--out", tmp_path / "out", *words)
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err


def test_a_folder_of_something_else_is_one_line(call, study, tmp_path):
    assert call("run", study(), "--out", tmp_path / "out")[0] == 0
    for out in (tmp_path, tmp_path / "out"):
        path = study(TEXT.replace("max_iter = 2", "max_iter = 3"))
        code, _, err = call("run", path, "--out", out, "--workers", 2)
        assert code == 2 and err.count("\n") == 1 and "out: got" in err


def test_help(call, capsys):
    assert main(["study"]) == 2
    assert main(["study", "run", "--help"]) == 0
    assert "--retry-failed" in capsys.readouterr().out
