import json

import pytest
from study_records import make_cell, make_study

from flowsolve.cli import main


@pytest.fixture
def study(tiny_prior, tmp_path):
    return make_study(
        tmp_path / "study", tiny_prior, [make_cell(), make_cell("adam"), make_cell("adam", "random")]
    )


def test_prints_questions_and_answers_in_words(study, capsys):
    assert main(["answer", str(study), "--axis", "flow"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Which solver for which problem?" in lines and "What does the start do?" in lines
    # An answer is one line where there is no terminal, however long.
    (fastest,) = [line for line in lines if line.startswith("inpaint-random") and " flow)" in line]
    assert fastest.endswith(".") and not any("p_holm" in line for line in lines)


def test_tables_have_the_numbers_behind_them(study, capsys):
    assert main(["answer", str(study), "--tables"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(" under " in line and " p_holm" in line for line in lines)


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
