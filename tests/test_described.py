"""What objects say of themselves, in a few lines."""

import numpy as np
import pytest

import flowsolve as fs
from flowsolve.described import mean_of
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.images import read_each
from flowsolve.stopping import Progress


@pytest.fixture
def objective(problem, tiny_prior):
    return fs.Analysis(problem, tiny_prior, lam=0.01)


def test_every_object_says_what_it_is_in_a_few_lines(problem, objective, tiny_prior, tmp_path):
    result = fs.solve(objective, max_iter=2, record=tmp_path / "run.h5")
    record = fs.open_run(tmp_path / "run.h5")
    for thing, words in (
        (problem, "sigma 0.05"),
        (objective, "prior tiny"),
        (result, "3 max_iter"),
        (result.best, "Iterate"),
        (record, "finished"),
    ):
        text = repr(thing)
        assert words in text and len(text) < 600 and text.count("\n") <= 8
        assert "&lt;" not in text and thing._repr_html_().startswith("<div><b>")
    assert "object at 0x" not in repr(tiny_prior) + repr(problem.operator)
    assert result.summary() == repr(result)


def test_html_is_escaped(objective):
    objective.prior.name, before = "<b>", objective.prior.name
    try:
        assert "&lt;b&gt;" in objective._repr_html_()
    finally:
        objective.prior.name = before


def test_a_result_gives_its_trace_figure_and_files(objective, tmp_path):
    result = fs.solve(objective, max_iter=2)
    frame = result.to_frame()
    np.testing.assert_array_equal(frame["value"].to_numpy().reshape(3, 3), result.trace["value"])
    assert result.plot(objective.problem.x_true).axes
    files = result.save_images(tmp_path / "out", ["a", "a", "c"], dtype="float32")
    assert [f.name for f in files] == ["a.tiff", "a-2.tiff", "c.tiff"]
    (found,) = read_each([files[1]], clean=False)
    np.testing.assert_allclose(found.x, result.x[1], atol=1e-6)
    with pytest.raises(ArgumentError, match="2 names"):
        result.save_images(tmp_path, ["a", "b"])


def test_a_callback_gets_the_images_and_changes_nothing(objective):
    seen = []

    def callback(progress):
        seen.append(progress.x)
        progress.x.zero_()

    result = fs.solve(objective, "adam", max_iter=3, callback=callback)
    np.testing.assert_array_equal(seen[-1], result.final.x)
    np.testing.assert_array_equal(
        fs.solve(objective, "adam", max_iter=3).trace["value"], result.trace["value"]
    )
    with pytest.raises(UnsupportedError):
        _ = Progress(0, None, 0.0, np.zeros(1), {}).x


def test_leaving_a_loop_ends_with_stopped(objective):
    steps = fs.iterate(objective, "adam", max_iter=5)
    for _ in steps:
        break
    assert set(steps.result().status) == {"stopped"}


def test_means_say_the_range_where_there_is_one():
    assert mean_of([1.0, 3.0]) == "2.00 (from 1.00 to 3.00)" and mean_of([2.0, 2.0]) == "2.00"
