import json
import os

import h5py
import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve.errors import ArgumentError, FlowsolveError, RecordError


@pytest.fixture
def objective(tiny_prior, problem):
    return fs.Analysis(problem, tiny_prior)


def test_record_has_all_groups_and_the_same_trace(objective, tmp_path):
    path = tmp_path / "run.h5"
    result = fs.solve(objective, init="zeros", max_iter=7, rtol=None, record=path, seed=5)
    assert result.record == path
    with h5py.File(path) as file:
        assert file.attrs["schema"] == 1 and file["status"][()] == b"finished"
        assert {"flowsolve_version", "created", "run_id"} <= set(file.attrs)
        assert set(file) == {"config", "problem", "trace", "best", "final", "status", "seconds"}
        assert file["trace/iteration"][()].tolist() == list(range(8))
        for name, column in result.trace.items():
            np.testing.assert_array_equal(file[f"trace/{name}"][()].T, column)
        np.testing.assert_array_equal(file["best/x"], result.x.numpy())
        np.testing.assert_array_equal(file["final/z"], result.final.z.numpy())
        assert file["final/status"][()].tolist() == [b"max_iter"] * 3
        np.testing.assert_array_equal(file["problem/y"], objective.problem.y.numpy())
        config = json.loads(file["config"].attrs["json"])
    assert config["solver"]["name"] == "lbfgs" and config["solver"]["options"]["history"] == "auto"
    assert config["initialiser"] == {"name": "zeros", "seed": 5}
    assert config["prior"] == {
        "name": "tiny",
        "source": None,
        "sha256": objective.prior.sha256,
        "memory": "store",
        "coupling_dtype": "float64",
    }
    assert config["objective"]["phi"] == "nll" and config["limits"]["max_iter"] == 7
    assert config["dtype"] == "float64" and config["versions"]["torch"]


def test_trace_is_nxdata_that_viewers_draw(objective, tmp_path):
    fs.solve(objective, max_iter=3, record=tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        assert file.attrs["default"] == "trace"
        trace = file["trace"]
        assert trace.attrs["NX_class"] == "NXdata" and trace.attrs["signal"] == "value"
        assert trace.attrs["axes"].tolist() == ["image", "iteration"]
        assert trace["value"].shape == (len(trace["image"]), len(trace["iteration"]))
        assert trace["psnr"].attrs["units"] == "dB"


def test_snapshots_are_kept_every_k(objective, tmp_path):
    fs.solve(objective, max_iter=5, rtol=None, record=tmp_path / "run.h5", snapshot_every=2)
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["snapshots/iteration"][()].tolist() == [0, 2, 4]
        assert file["snapshots/x"].shape == (3, 3, 3, 8, 8)


def test_an_existing_file_is_kept_unless_forced(objective, tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(b"precious")
    with pytest.raises(ArgumentError, match=r"record: got .*run\.h5, which exists"):
        fs.solve(objective, max_iter=1, record=path)
    assert path.read_bytes() == b"precious"
    fs.solve(objective, max_iter=1, record=path, force=True)
    assert h5py.is_hdf5(path)


def test_a_folder_that_is_not_there_is_one_clear_error(objective, tmp_path):
    with pytest.raises(RecordError, match="cannot create"):
        fs.solve(objective, max_iter=1, record=tmp_path / "missing" / "run.h5")


def test_bad_snapshot_interval_is_refused(objective, tmp_path):
    with pytest.raises(ArgumentError, match="snapshot_every: got 0"):
        fs.solve(objective, max_iter=1, record=tmp_path / "run.h5", snapshot_every=0)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (ZeroDivisionError, "failed")]
)
def test_an_error_inside_the_run_closes_the_record_with_what_was_reached(error, status, objective, tmp_path):
    def callback(progress):
        if progress.iteration == 4:
            raise error

    with pytest.raises(error):
        fs.solve(objective, max_iter=9, rtol=None, record=tmp_path / "run.h5", callback=callback)
    record = fs.open_run(tmp_path / "run.h5")
    assert record.status == status
    assert record.trace["value"].shape == (5, 3)
    assert np.isfinite(record.best["x"]).all()
    assert set(record.final["status"].tolist()) == {status.encode()}


def test_a_record_being_written_can_be_read(objective, tmp_path):
    lengths = []

    def callback(progress):
        run.writer.flush()
        lengths.append(len(fs.open_run(tmp_path / "run.h5").trace["iteration"]))

    limits = {"max_iter": 4, "max_evaluations": None, "max_seconds": None, "rtol": None}
    run = fs.Run(objective, fs.solvers.make_solver("adam"), torch.zeros(3, 192), limits=limits)
    run.record_to(tmp_path / "run.h5")
    with run:
        for progress in run:
            callback(progress)
    assert lengths == [2, 3, 4, 5]


@pytest.mark.parametrize("made", [os.mkfifo, lambda path: os.symlink("/dev/null", path)])
def test_what_is_no_regular_file_is_never_replaced(objective, tmp_path, made):
    path = tmp_path / "run.h5"
    made(path)
    before = os.lstat(path)
    with pytest.raises(ArgumentError, match=r"record: got .*run\.h5, which is a (named pipe|device)"):
        fs.solve(objective, max_iter=1, record=path, force=True)
    after = os.lstat(path)
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_link_is_followed_and_stays(objective, tmp_path):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.h5", tmp_path / "run.h5"
    link.symlink_to("disk/real.h5")
    fs.solve(objective, max_iter=1, record=link)
    assert link.is_symlink() and fs.open_run(real).status == "finished"
    fs.solve(objective, max_iter=2, rtol=None, record=link, force=True)
    assert link.is_symlink() and len(fs.open_run(real).trace["value"]) == 3
    assert os.listdir(tmp_path / "disk") == ["real.h5"]


def test_a_link_where_a_record_could_be_laid_out_is_not_followed(objective, tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("keep")
    (tmp_path / "part").symlink_to("victim")
    monkeypatch.setattr("flowsolve.recording.writer.part_beside", lambda path: tmp_path / "part")
    with pytest.raises(FlowsolveError, match="record"):
        fs.solve(objective, max_iter=1, record=tmp_path / "run.h5")
    assert (tmp_path / "victim").read_text() == "keep" and not (tmp_path / "run.h5").exists()
