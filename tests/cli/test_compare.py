import re

import pytest

import flowsolve as fs
from flowsolve.cli import main


@pytest.fixture
def two_runs(tiny_prior, problem, tmp_path):
    paths = []
    for solver, iterations in (("adam", 4), ("lbfgs", 9)):
        paths.append(tmp_path / f"{solver}.h5")
        fs.solve(fs.Analysis(problem, tiny_prior), solver, max_iter=iterations, rtol=None, record=paths[-1])
    return [str(path) for path in paths]


@pytest.mark.parametrize("axis", ["iterations", "evaluations", "flow", "seconds"])
def test_table_and_figure_on_every_axis(axis, two_runs, tmp_path, capsys):
    assert main(["compare", *two_runs, "--axis", axis, "--out", str(tmp_path / "figure.png")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"adam .*lbfgs ", out, re.DOTALL) and axis in out
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_bad_input_is_one_line(two_runs, tiny_prior, problem, tmp_path, capsys):
    assert main(["compare", *two_runs, "--axis", "euros"]) == 2
    assert (
        "axis: got 'euros'; accepted: iterations or evaluations or flow or seconds" in capsys.readouterr().err
    )
    other = tmp_path / "other.h5"
    fs.solve(fs.Analysis(problem.select([0]), tiny_prior), max_iter=1, record=other)
    assert main(["compare", *two_runs, str(other)]) == 2
    assert "runs of the same images" in capsys.readouterr().err
