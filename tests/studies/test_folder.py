import dataclasses
import json
import multiprocessing
import os

import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.folder import StudyFolder


def test_a_new_folder_gets_the_study_file_and_the_plan(small, tmp_path):
    folder = StudyFolder(tmp_path / "a" / "out")
    folder.check(small)
    folder.begin(small)
    folder.check(small)
    assert folder.study.read_text() == small.text
    plan = json.loads(folder.plan.read_text())
    assert (plan["schema"], plan["fingerprint"]) == (1, small.fingerprint)
    assert [cell["id"] for cell in plan["cells"]] == [cell.id for cell in small.cells]
    assert {"task", "sigma", "operator", "prior", "formulation", "phi", "lam", "solver"} <= set(
        plan["cells"][0]
    )


def test_a_folder_with_something_else_is_refused(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match=r"out: got .*which is a file"):
        StudyFolder(tmp_path / "file").check(small)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "run.h5").write_text("")
    with pytest.raises(ArgumentError, match=r"something that is no study \(run.h5\)"):
        StudyFolder(tmp_path / "full").check(small)
    (tmp_path / "empty").mkdir()
    StudyFolder(tmp_path / "empty").check(small)


def test_a_folder_of_another_study_is_refused(small, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    folder.begin(dataclasses.replace(small, fingerprint="another", title="the other", cells=small.cells[:1]))
    with pytest.raises(
        ArgumentError, match=r"holds another study \(the other: 1 cells, of which 1 are in this one\)"
    ):
        folder.check(small)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 2}', "\xff"])
def test_a_plan_that_cannot_be_read_is_refused(small, tmp_path, content):
    folder = StudyFolder(tmp_path)
    folder.plan.write_bytes(content.encode("latin-1"))
    with pytest.raises(ArgumentError, match=r"out: got .*plan\.json"):
        folder.check(small)


def test_failures_are_written_and_read(small, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    folder.begin(small)
    assert folder.failed() == {}
    written = folder.write_failure("one", "ValueError", "no")
    assert folder.failed() == {"one": written}
    assert written["cell"] == "one" and written["error"] == "ValueError" and "+00:00" in written["time"]
    folder.failure("two").write_text("not JSON")
    assert list(folder.failed()) == ["one"]


def hold(path, held, release):
    with StudyFolder(path).locked():
        held.set()
        release.wait(30)


def test_two_processes_cannot_run_in_one_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(30)
    try:
        with (
            pytest.raises(ArgumentError, match=f"process {other.pid} on .* is running"),
            StudyFolder(tmp_path).locked(),
        ):
            pass
    finally:
        release.set()
        other.join()
    with StudyFolder(tmp_path).locked():
        pass


def test_the_lock_of_a_process_that_was_killed_is_gone(tmp_path):
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(30)
    other.kill()
    other.join()
    with StudyFolder(tmp_path).locked():
        pass


@pytest.mark.parametrize("name", ["study.toml", "plan.json"])
def test_files_of_a_study_that_are_links_stay_and_pipes_are_refused(small, tmp_path, name):
    folder = StudyFolder(tmp_path / "out")
    folder.path.mkdir()
    (tmp_path / "real").write_text("")
    (folder.path / name).symlink_to(tmp_path / "real")
    folder.begin(small)
    assert (folder.path / name).is_symlink() and (tmp_path / "real").stat().st_size
    (folder.path / name).unlink()
    os.mkfifo(folder.path / name)
    with pytest.raises(ArgumentError, match=f"out: got .*{name}, which is a named pipe"):
        folder.begin(small)


def test_pipes_in_the_folder_of_a_study_are_not_waited_for(small, tmp_path):
    folder = StudyFolder(tmp_path)
    (tmp_path / "failed").mkdir()
    for path in (folder.plan, folder.failure("cell"), tmp_path / ".lock"):
        os.mkfifo(path)
    assert folder.failed() == {}
    with pytest.raises(ArgumentError, match=r"plan\.json, which cannot be read .it is a named pipe"):
        folder.check(small)
    with pytest.raises(ArgumentError, match=r"\.lock, which is a named pipe"), folder.locked():
        pass
