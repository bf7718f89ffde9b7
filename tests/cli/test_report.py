"""``flowsolve report``."""

import pytest
from study_records import make_cell, make_study

from flowsolve.cli import main

pytest.importorskip("plotly")


def test_it_writes_a_page(tmp_path, tiny_prior, capsys):
    folder = make_study(tmp_path / "study", tiny_prior, [make_cell()])
    out = tmp_path / "report.html"
    assert main(["report", str(folder), "--out", str(out), "--title", "mine"]) == 0
    assert "wrote" in capsys.readouterr().out
    assert "<h1>mine</h1>" in out.read_text(encoding="utf-8")


def test_what_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none"), "--out", str(tmp_path / "r.html")]) == 2
    said = capsys.readouterr().err
    assert "none" in said and "Traceback" not in said
    assert not (tmp_path / "r.html").exists()
