import json
import os

import pytest

from flowsolve.cli.output import OutputFolder
from flowsolve.errors import ArgumentError


def test_names_of_images_are_made_safe(tmp_path):
    folder = OutputFolder(tmp_path)
    assert folder.image("a/../b:c").parent == tmp_path / "restored"
    assert folder.image("photo 1.2").name == "photo 1.2.png"


@pytest.mark.parametrize("name", ["run.h5", "figure.png", "summary.json", "restored"])
def test_files_of_a_run_are_not_overwritten(tmp_path, name):
    (tmp_path / name).mkdir() if name == "restored" else (tmp_path / name).write_text("x")
    with pytest.raises(ArgumentError, match="--force"):
        OutputFolder(tmp_path).check(force=False)
    OutputFolder(tmp_path).check(force=True)


def test_other_files_are_no_hindrance(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    OutputFolder(tmp_path).check(force=False)


def test_a_forged_summary_removes_nothing_outside(tmp_path):
    outside, inside = tmp_path / "outside.png", tmp_path / "out" / "notes.txt"
    inside.parent.mkdir()
    for path in (outside, inside):
        path.write_text("keep")
    files = ["../outside.png", str(outside), "notes.txt", "restored/../../outside.png", 3]
    (tmp_path / "out" / "summary.json").write_text(json.dumps({"files": files}))
    folder = OutputFolder(tmp_path / "out")
    folder.prepare()
    folder.remove_old()
    assert outside.exists() and inside.exists()


@pytest.mark.parametrize("name", ["run.h5", "figure.png", "summary.json"])
def test_what_is_no_regular_file_is_refused_before_anything_is_done(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ArgumentError, match=f"out: got .*{name}, which is a named pipe"):
        OutputFolder(tmp_path).check(force=True)


def test_links_and_pipes_among_the_files_of_an_earlier_run_stay(tmp_path):
    folder = OutputFolder(tmp_path)
    folder.prepare()
    folder.remove_old()
    (tmp_path / "elsewhere.h5").write_text("keep")
    folder.record.symlink_to("elsewhere.h5")
    os.mkfifo(folder.image("a"))
    folder.image("b").write_text("old")
    folder.write_summary({}, [folder.record, folder.image("a"), folder.image("b")])
    folder.prepare()
    folder.remove_old()
    assert folder.record.is_symlink() and folder.image("a").is_fifo() and not folder.image("b").exists()
