"""Metrics as columns of the trace: asked for by name, at an interval, recorded, repeated, resumed."""

import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve import metrics
from flowsolve.errors import ArgumentError, RecordError, UnsupportedError


@pytest.fixture
def mae(monkeypatch):
    monkeypatch.setattr(metrics.registry, "_items", dict(metrics.registry._items))

    @metrics.register_metric("mae", unit="grey levels", better="lower")
    def mean_absolute_error(x, x_true):
        return 255 * (x - x_true).abs().flatten(1).mean(1)


def test_psnr_is_the_usual_one_and_as_it_was(problem, tiny_prior):
    objective = fs.Analysis(problem, tiny_prior)
    usual = fs.solve(objective, max_iter=3)
    asked = fs.solve(objective, max_iter=3, metrics=["psnr", "ssim"])
    np.testing.assert_array_equal(usual.trace["psnr"], asked.trace["psnr"])
    np.testing.assert_array_equal(usual.trace["psnr"][-1], fs.psnr(usual.final.x, problem.x_true))
    np.testing.assert_allclose(asked.trace["ssim"][-1], fs.ssim(asked.final.x, problem.x_true))
    assert "ssim" not in usual.trace and "psnr" not in fs.solve(objective, max_iter=1, metrics=[]).trace


def test_a_metric_of_ones_own(mae, problem, tiny_prior, tmp_path):
    objective, path = fs.Analysis(problem, tiny_prior), tmp_path / "run.h5"
    result = fs.solve(objective, max_iter=5, metrics=("psnr", "mae"), metric_every=2, record=path)
    column = result.trace["mae"]
    assert [bool((column[k + 1] == column[k]).all()) for k in range(5)] == [True, False, True, False, True]
    start = 255 * (result.final.x - problem.x_true).abs().flatten(1).mean(1)
    assert np.abs(column[4] / start.numpy() - 1).max() < 0.5
    record = fs.open_run(path)
    assert record.config["metrics"] == {
        "every": 2,
        "columns": [
            {"name": "psnr", "unit": "dB", "better": "higher"},
            {"name": "mae", "unit": "grey levels", "better": "lower"},
        ],
    }
    with record.open() as file:
        assert file["trace/mae"].attrs["units"] == "grey levels"
    assert fs.rerun(path, prior=tiny_prior).identical
    again = fs.restore(problem, tiny_prior, max_iter=4, metrics=["mae"], record=tmp_path / "method.h5")
    assert "mae" in again.trace and "psnr" not in again.trace
    assert fs.rerun(tmp_path / "method.h5", prior=tiny_prior).identical


def test_a_resumed_run_has_the_columns(mae, problem, tiny_prior, tmp_path):
    objective, path = fs.Analysis(problem, tiny_prior), tmp_path / "run.h5"
    whole = fs.solve(objective, max_iter=6, metrics=["mae"], metric_every=4)

    def stop(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fs.solve(objective, max_iter=6, metrics=["mae"], metric_every=4, record=path, callback=stop)
    again = fs.resume(path, prior=tiny_prior)
    np.testing.assert_array_equal(again.trace["mae"], whole.trace["mae"])


def test_what_is_refused(problem, tiny_prior, tmp_path, monkeypatch):
    objective = fs.Analysis(problem, tiny_prior)
    for given, message in (
        ({"metrics": ["psnrr"]}, r"metrics: got 'psnrr'.*did you mean 'psnr'"),
        ({"metrics": ["psnr", "psnr"]}, "each metric once"),
        ({"metric_every": 0}, "metric_every: got 0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            fs.solve(objective, max_iter=1, **given)
    odd = metrics.Metric("odd", lambda x, x_true: torch.zeros(1))
    with pytest.raises(ArgumentError, match=r"odd, which returns the shape \(1,\)"):
        fs.solve(objective, max_iter=1, metrics=[odd])
    own = metrics.Metric("own", lambda x, x_true: torch.zeros(len(x)))
    assert "own" in fs.solve(objective, max_iter=1, metrics=[own]).trace
    with pytest.raises(UnsupportedError, match=r"register_metric\(\"own\"\)"):
        fs.solve(objective, max_iter=1, metrics=[own], record=tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ArgumentError, match="better: got 'more'"):
        metrics.Metric("own", own.function, better="more")


def test_a_record_of_a_metric_that_is_not_here_opens_but_is_not_repeated(mae, problem, tiny_prior, tmp_path):
    path = tmp_path / "run.h5"
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=1, metrics=["mae"], record=path)
    del metrics.registry._items["mae"]
    assert "mae" in fs.open_run(path).trace
    with pytest.raises(RecordError, match=r"'mae'.*register_metric"):
        fs.rerun(path, prior=tiny_prior)
