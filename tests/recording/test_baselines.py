import h5py
import numpy as np
import pytest
from helpers import make_problem

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.recording.baselines import write_baselines


@pytest.fixture
def path(tiny_prior, tmp_path):
    path = tmp_path / "run.h5"
    fs.solve(fs.Analysis(make_problem(), tiny_prior), max_iter=2, record=path)
    return path


def test_restorations_are_put_into_the_record_and_nothing_else_changes(path, tiny_prior):
    before = fs.open_run(path)
    assert before.baselines == {}
    restored = {"a": np.full((3, 3, 8, 8), 0.25), "b-best": np.zeros((3, 3, 8, 8), np.float32)}
    write_baselines(path, restored)
    after = fs.open_run(path)
    assert set(after.baselines) == {"a", "b-best"}
    np.testing.assert_array_equal(after.baselines["a"], restored["a"])
    assert after.attributes == before.attributes and after.config == before.config
    for name, column in before.trace.items():
        np.testing.assert_array_equal(after.trace[name], column)
    np.testing.assert_array_equal(after.best["x"], before.best["x"])
    assert [p.name for p in path.parent.iterdir()] == ["run.h5"]
    assert fs.rerun(path, prior=tiny_prior).identical


def test_later_ones_take_the_place_of_earlier_ones(path):
    for name in ("a", "b"):
        write_baselines(path, {name: np.zeros((3, 3, 8, 8))})
    assert set(fs.open_run(path).baselines) == {"b"}


@pytest.mark.parametrize("x", [np.zeros((2, 3, 8, 8)), np.zeros((3, 3, 8, 8), int), 0.5, "x"])
def test_what_would_make_the_record_unreadable_is_refused(x, path):
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match="restored"):
        write_baselines(path, {"a": x})
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def test_a_record_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="open"):
        write_baselines(tmp_path / "none.h5", {})
    assert not list(tmp_path.iterdir())


def test_the_record_of_a_method_keeps_its_stages(tmp_path):
    from methods_of_stages import make_method_run

    path = tmp_path / "run.h5"
    make_method_run("two", path).complete()
    write_baselines(path, {"a": np.zeros((3, 3, 8, 8))})
    with h5py.File(path) as file:
        assert list(file["stages"]) == ["0"] and "a" in file["baselines"]
    assert len(fs.open_run(path).earlier.ended) == 1
