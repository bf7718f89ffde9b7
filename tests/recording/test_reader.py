import os

import h5py
import numpy as np
import pytest

import flowsolve as fs
from flowsolve.errors import RecordError
from flowsolve.recording.reader import being_written


def test_reads_back_what_solve_returned(tiny_prior, problem, tmp_path):
    result = fs.solve(fs.Analysis(problem, tiny_prior), max_iter=3, rtol=None, record=tmp_path / "run.h5")
    record = fs.open_run(tmp_path / "run.h5")
    assert record.status == "finished" and record.config["n_images"] == 3
    for name, column in result.trace.items():
        np.testing.assert_array_equal(record.trace[name], column)
    np.testing.assert_array_equal(record.best["value"], result.value)
    np.testing.assert_array_equal(record.problem["x_true"], problem.x_true.numpy())
    assert record.problem["sigma"] == problem.sigma


def test_what_is_not_a_run_is_said_to_be_none(tmp_path):
    with pytest.raises(RecordError, match="no file"):
        fs.open_run(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(RecordError, match="not an HDF5 file"):
        fs.open_run(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1, 2]
    with pytest.raises(RecordError, match="not a run of flowsolve"):
        fs.open_run(tmp_path / "other.h5")


def test_a_newer_schema_is_refused(tmp_path):
    with h5py.File(tmp_path / "new.h5", "w") as file:
        file.attrs["schema"] = 99
        file.create_group("config").attrs["json"] = "{}"
    with pytest.raises(RecordError, match="schema 99; this version of flowsolve reads up to 1"):
        fs.open_run(tmp_path / "new.h5")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_truncated_file_is_said_to_be_cut_short(share, tiny_prior, problem, tmp_path):
    path = tmp_path / "run.h5"
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=3, record=path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(RecordError, match="cut short or damaged"):
        fs.open_run(path)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.3, 0.9])
def test_a_truncated_file_of_a_killed_run_gives_an_error_or_true_values(share, tiny_prior, problem, tmp_path):
    whole, cut = tmp_path / "run.h5", tmp_path / "cut.h5"
    limits = {"max_iter": 4, "max_evaluations": None, "max_seconds": None, "rtol": None}
    run = fs.Run(fs.Analysis(problem, tiny_prior), fs.solvers.make_solver("adam"), "zeros", limits=limits)
    run.record_to(whole, flush_seconds=0.0)
    with run:
        for progress in run:
            if progress.iteration == 3:
                data = whole.read_bytes()
    cut.write_bytes(data[: int(share * len(data))])
    try:
        trace = fs.open_run(cut).trace
    except RecordError as error:
        assert "cut short or damaged" in str(error)
    else:
        true = fs.open_run(whole).trace
        assert all(np.array_equal(column, true[name][: len(column)]) for name, column in trace.items())


def test_trace_as_a_frame_and_as_a_dataset(tiny_prior, problem, tmp_path):
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=3, rtol=None, record=tmp_path / "run.h5")
    record = fs.open_run(tmp_path / "run.h5")
    frame, dataset = record.to_frame(), record.to_xarray()
    assert frame.loc[(2, 1), "value"] == record.trace["value"][2, 1]
    assert dataset["psnr"].sel(iteration=3, image=0) == record.trace["psnr"][3, 0]
    assert dataset.attrs["status"] == "finished" and dict(dataset.sizes) == {"iteration": 4, "image": 3}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "zero.h5").symlink_to("/dev/zero")
    for name, word in (("pipe.h5", "a named pipe"), ("zero.h5", "a device"), (".", "a folder")):
        with pytest.raises(RecordError, match=word):
            fs.open_run(tmp_path / name)
        assert not being_written(tmp_path / name)
