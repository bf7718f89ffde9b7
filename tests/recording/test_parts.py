import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve.errors import ArgumentError, RecordError
from flowsolve.recording.parts import part_beside, process_is_gone, remove_abandoned


def dead_process():
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_parts_of_killed_writers_are_removed_and_those_of_living_ones_stay(tmp_path):
    path = tmp_path / "run.h5"
    mine = part_beside(path)
    gone = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-"))
    elsewhere = mine.with_name(f".another-machine-{dead_process()}-01234567.part")
    others = tmp_path / ".somebody-elses.part"
    for part in (mine, gone, elsewhere, others):
        part.write_bytes(b"half")
    remove_abandoned(tmp_path)
    assert mine.exists() and elsewhere.exists() and others.exists() and not gone.exists()


def test_a_part_that_is_open_stays_though_no_process_has_its_number(tmp_path):
    mine = part_beside(tmp_path / "run.h5")
    part = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-"))
    with h5py.File(part, "w"):
        remove_abandoned(tmp_path)
        assert part.exists()
    remove_abandoned(tmp_path)
    assert not part.exists()


def test_process_numbers_that_none_can_have_are_gone():
    assert not process_is_gone(os.getpid())
    assert process_is_gone(-1) and process_is_gone(0) and process_is_gone(2**62)


def test_a_long_name_leaves_room_for_the_part(tmp_path):
    assert len(part_beside(tmp_path / ("a" * 252 + ".h5")).name) < 120


@pytest.fixture
def objective(tiny_prior, problem):
    return fs.Analysis(problem, tiny_prior)


def killed_before_its_first_checkpoint(objective, path, **options):
    """Leave a record as a kill does between its name and its first checkpoint."""
    from flowsolve.recording import RunWriter

    def killed(self, arrays, iteration):
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            RunWriter.checkpoint = killed
            fs.solve(objective, "lbfgs", record=path, **options)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize("given", [False, True])
def test_a_run_killed_before_its_first_checkpoint_begins_again(given, objective, tiny_prior, tmp_path):
    path = tmp_path / "run.h5"
    init = make_problem().x_true + 0.1 if given else "adjoint"
    whole = fs.solve(objective, "lbfgs", init, max_iter=5, rtol=None)
    killed_before_its_first_checkpoint(objective, path, init=init, max_iter=5, rtol=None, snapshot_every=2)
    record = fs.open_run(path)
    assert record.status == "killed" and record.checkpoint() is None
    result = fs.resume(path, prior=tiny_prior)
    torch.testing.assert_close(result.x, whole.x, rtol=0, atol=0)
    again = fs.open_run(path)
    assert again.status == "finished" and again.snapshots["iteration"].tolist() == [0, 2, 4]
    assert again.attributes["run_id"] == record.attributes["run_id"]
    assert [file.name for file in tmp_path.iterdir()] == ["run.h5"]


def test_a_record_not_begun_leaves_nothing(objective, tmp_path):
    run = fs.Run(objective, fs.solvers.make_solver("adam"), "zeros", limits={"max_iter": 3})
    run.record_to(tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())
    start = torch.full((3, 3, 8, 8), 1e200, dtype=torch.float64)
    with pytest.raises(ArgumentError, match="not finite"):
        for _ in fs.iterate(objective, "adam", start, max_iter=3, record=tmp_path / "run.h5"):
            pass
    assert not list(tmp_path.iterdir())


def test_an_error_while_a_record_is_made_removes_it(objective, tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with monkeypatch.context() as broken:
        broken.setattr("flowsolve.recording.writer.socket.gethostname", lambda: object())
        with pytest.raises(TypeError):
            fs.solve(objective, max_iter=1, record=path)
    assert not list(tmp_path.iterdir())
    assert fs.solve(objective, max_iter=1, record=path).record == path


def test_a_configuration_that_json_does_not_have_is_named(objective, tmp_path):
    objective.options = lambda: {"strange": object()}
    with pytest.raises(ArgumentError, match=r"record\.objective\.options\.strange: got a object"):
        fs.solve(objective, max_iter=1, record=tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())


def test_a_relative_path_stays_where_it_was_given(objective, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    result = fs.solve(
        objective, max_iter=3, rtol=None, record="run.h5", callback=lambda p: os.chdir(tmp_path / "elsewhere")
    )
    assert result.record == tmp_path / "run.h5"
    os.chdir(tmp_path)
    record = fs.open_run("run.h5")
    os.chdir(tmp_path / "elsewhere")
    assert len(record.refresh().trace["value"]) == 4 and np.isfinite(record.best["x"]).all()


def test_a_folder_that_may_not_be_written_to_is_said_before_the_run(objective, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot create .*is no folder"):
        fs.solve(objective, max_iter=1, record=tmp_path / "file" / "run.h5")
