import json

import pytest
from study_records import make_cell, make_study

from flowsolve.cli import main


@pytest.fixture
def study(tiny_prior, tmp_path):
    return make_study(
        tmp_path / "study", tiny_prior, [make_cell(), make_cell("adam"), make_cell("adam", "random")]
    )


def test_prints_questions_answers_and_tables(study, capsys):
    assert main(["answer", str(study), "--axis", "flow"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Which combination restores best?" in out and "What does the start do?" in out
    assert "lbfgs from zeros" in out and " flow)" in out


def test_json_has_the_whole_tables(study, capsys):
    assert main(["answer", str(study), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said[0]["table"][0]["images"] == 2 and all(
        set(one) == {"question", "text", "table"} for one in said
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--axis", "euros"], "axis: got 'euros'"),
        (["--tau", "2"], "tau: got 2.0; accepted: a number > 0 and < 1"),
        (["--threshold", "0"], "threshold: got 0.0"),
    ],
)
def test_bad_input_is_one_line(arguments, message, study, capsys):
    assert main(["answer", str(study), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""
