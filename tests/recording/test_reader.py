import h5py
import numpy as np
import pytest

import flowsolve as fs
from flowsolve.errors import RecordError


def test_reads_back_what_solve_returned(tiny_prior, problem, tmp_path):
    result = fs.solve(fs.Analysis(problem, tiny_prior), max_iter=3, rtol=None, record=tmp_path / "run.h5")
    record = fs.read_run(tmp_path / "run.h5")
    assert record.status == "finished" and record.config["n_images"] == 3
    for name, column in result.trace.items():
        np.testing.assert_array_equal(record.trace[name], column)
    np.testing.assert_array_equal(record.best["value"], result.value)
    np.testing.assert_array_equal(record.problem["x_true"], problem.x_true.numpy())
    assert record.problem["sigma"] == problem.sigma


def test_what_is_not_a_run_is_said_to_be_none(tmp_path):
    with pytest.raises(RecordError, match="no file"):
        fs.read_run(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(RecordError, match="not a readable HDF5 file"):
        fs.read_run(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1, 2]
    with pytest.raises(RecordError, match="not a run of flowsolve"):
        fs.read_run(tmp_path / "other.h5")


def test_a_newer_schema_is_refused(tmp_path):
    with h5py.File(tmp_path / "new.h5", "w") as file:
        file.attrs["schema"] = 99
        file.create_group("config").attrs["json"] = "{}"
    with pytest.raises(RecordError, match="schema 99; this version of flowsolve reads up to 1"):
        fs.read_run(tmp_path / "new.h5")
