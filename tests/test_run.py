import numpy as np
import torch
from helpers import Ticks

import flowsolve as fs
from flowsolve.solvers import make_solver

LIMITS = {"max_iter": 6, "max_evaluations": None, "max_seconds": None, "rtol": None}


def test_a_run_is_advanced_one_iteration_at_a_time_and_can_be_left(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    run = fs.Run(objective, make_solver("lbfgs"), "adjoint", limits=LIMITS)
    with run:
        for progress in run:
            assert progress.iteration == run.iteration == len(progress.trace["value"]) - 1
            if progress.iteration == 4:
                break
    run.stop("stopped")
    result = run.result()
    assert result.status == ["stopped"] * 3 and result.iterations.tolist() == [4] * 3
    whole = fs.solve(objective, "lbfgs", "adjoint", max_iter=4, rtol=None)
    torch.testing.assert_close(result.x, whole.x, rtol=0, atol=0)


def test_leaving_a_recorded_run_closes_its_record(tiny_prior, problem, tmp_path):
    run = fs.Run(fs.Analysis(problem, tiny_prior), make_solver("adam"), "adjoint", limits=LIMITS)
    run.record_to(tmp_path / "run.h5")
    with run:
        next(iter(run))
    record = fs.open_run(tmp_path / "run.h5")
    assert record.status == "finished"
    assert record.final["status"].tolist() == [b"stopped"] * 3


def test_the_clock_leaves_out_callbacks(tiny_prior, problem, monkeypatch):
    clock = Ticks(step=1.0)
    monkeypatch.setattr(fs.Run, "_clock", lambda run: clock())

    def callback(progress):
        clock.now += 1000

    result = fs.solve(fs.Analysis(problem, tiny_prior), "adam", max_iter=4, rtol=None, callback=callback)
    # The start and each of the iterations take the one tick between two readings.
    assert result.seconds == 5.0
    assert (result.trace["seconds"] == np.arange(1.0, 6.0)[:, None]).all()
