"""Reports of a small study: data, page, bounds, refusals."""

import html
import json
import os
import re

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.report.curves import thin
from flowsolve.report.data import report_data
from flowsolve.report.packing import pack, pack_words
from flowsolve.report.page import content_policy, escape_script, write_report
from flowsolve.studies.index import read_index

pytest.importorskip("plotly")


def test_a_page_holds_every_run_and_asks_no_network(report_study, tmp_path):
    page = write_report([report_study], tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page)[1])
    index = read_index([report_study])
    assert data["runs"]["id"] == [entry.id for entry in index.runs]
    assert len(data["failed"]) == 1 and data["waiting"] == 1
    assert data["answers"][0]["question"] == "Which solver for which problem?"
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page.split("<script")[0])
    policy = html.unescape(re.search(r'Content-Security-Policy" content="(.*?)"', page)[1])
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy


def test_data_are_valid_json_whatever_is_in_the_runs(report_study):
    data = report_data(read_index([report_study]), title="a")
    json.dumps(data, allow_nan=False)
    assert len(data["gallery"]["problems"]) == 2
    without = report_data(read_index([report_study]), title="a", room=0)
    assert without["gallery"]["pictures"] == [] and without["gallery"]["left_out"] > 0


def test_numbers_survive_packing():
    import base64

    values = np.array([1.5, np.nan, np.inf])
    packed = pack(values, "f4")
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(packed["data"]), "<f4"), values)
    assert pack([3, 70000])["type"] == "u4" and pack([3])["type"] == "u1"
    assert pack_words(["b", "a", "b"])["labels"] == ["b", "a"]


def test_thinning_keeps_the_ends_and_what_must_stay():
    kept = thin(1000, 50, {123})
    assert len(kept) <= 55 and {0, 123, 999} <= set(kept.tolist()) and (np.diff(kept) > 0).all()
    assert thin(10, 50).tolist() == list(range(10))


def test_text_cannot_leave_its_element():
    text = json.dumps("</script><script>alert(1)</script><!--")
    assert "<" not in escape_script(text) and json.loads(escape_script(text)) == json.loads(text)
    assert "unsafe-inline" not in content_policy(["a"], live=False).split("style-src")[0]


@pytest.mark.parametrize(
    ("out", "message"), [("missing/report.html", "folder that exists"), ("report.txt", r"ends in \.html")]
)
def test_a_bad_file_to_write_is_refused(out, message, report_study, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        write_report([report_study], tmp_path / out)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="no record"):
        write_report([tmp_path], tmp_path / "report.html")


def test_a_report_follows_links_and_replaces_only_regular_files(report_study, tmp_path):
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "link.html").symlink_to("real.html")
    write_report([report_study], tmp_path / "link.html", room=0)
    assert (tmp_path / "link.html").is_symlink() and "<html" in (tmp_path / "real.html").read_text()
    os.mkfifo(tmp_path / "pipe.html")
    with pytest.raises(ArgumentError, match=r"out: got .*pipe\.html, which is a named pipe"):
        write_report([report_study], tmp_path / "pipe.html", room=0)


def test_a_folder_whose_records_all_fail_is_a_report_of_the_failures(tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"no record")
    data = report_data(read_index([tmp_path]), title="a")
    assert data["runs"]["id"] == [] and len(data["failed"]) == 1
    assert write_report([tmp_path], tmp_path / "report.html").exists()
