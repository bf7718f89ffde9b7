import json
import multiprocessing
import os
import random
import time

import h5py
import kill_target
import numpy as np
import pytest
import torch
from helpers import PATIENCE, make_problem, make_tiny_prior

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, RecordError
from flowsolve.functionals import Box
from flowsolve.tally import COUNTED

SOLVERS = ("gradient_descent", "adam", "lbfgs", "forward_backward")
PAIRS = [(solver, formulation) for solver in SOLVERS for formulation in ("analysis", "synthesis")]
KILLS = int(os.environ.get("FLOWSOLVE_KILLS", "8"))
ITERATIONS = 8
TIMED = "seconds"

# Processes are forked from one that has imported torch already: starting them takes milliseconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["kill_target"])


def start_run(*arguments, **options):
    process = CONTEXT.Process(target=kill_target.main, args=arguments, kwargs=options)
    process.start()
    return process


def assert_same_trace(ours, theirs):
    assert set(ours) == set(theirs)
    for name in ours:
        if name != TIMED:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def uninterrupted(request, tmp_path_factory):
    """Return solver, formulation and the finished record."""
    path = tmp_path_factory.mktemp("whole") / "run.h5"
    process = start_run(*request.param, path, ITERATIONS)
    process.join(PATIENCE)
    assert process.exitcode == 0
    return *request.param, fs.open_run(path)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(max(1, KILLS // len(PAIRS))))
def test_a_killed_run_keeps_what_was_flushed_and_resumes_bit_by_bit(uninterrupted, attempt, tmp_path):
    solver, formulation, whole = uninterrupted
    moment = random.Random(f"{solver} {formulation} {attempt}")
    target, delay = moment.randrange(ITERATIONS), moment.uniform(0, 0.08)
    path = tmp_path / "run.h5"
    process = start_run(solver, formulation, path, ITERATIONS)
    flushed = 0
    while process.is_alive() and flushed <= target:
        flushed = len(fs.open_run(path).trace["iteration"]) if path.exists() else 0
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.join()

    record = fs.open_run(path)
    kept = len(record.trace["iteration"])
    assert kept >= flushed
    for name, column in record.trace.items():
        if name != TIMED:
            np.testing.assert_array_equal(column, whole.trace[name][:kept], err_msg=name)
    torch.set_num_threads(1)
    if record.status == "finished":
        assert kept == len(whole.trace["iteration"])
        return
    assert record.status == "killed"
    result = fs.resume(path)
    resumed = fs.open_run(path)
    assert resumed.status == "finished"
    assert resumed.attributes["run_id"] == record.attributes["run_id"]
    assert_same_trace(resumed.trace, whole.trace)
    for group in ("best", "final", "snapshots"):
        ours, theirs = getattr(resumed, group), getattr(whole, group)
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{group}/{name}")
    np.testing.assert_array_equal(result.x.numpy(), whole.best["x"])


def interrupt(objective, solver, path, at, **options):
    """Run and raise KeyboardInterrupt after an iteration, as Ctrl-C does."""

    def callback(progress):
        if progress.iteration == at:
            raise KeyboardInterrupt

    options = {"checkpoint_seconds": 0.0, "flush_seconds": 0.0, "rtol": None, "max_iter": 9} | options
    with pytest.raises(KeyboardInterrupt):
        fs.solve(objective, solver, record=path, callback=callback, **options)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("at", [1, 5])
def test_an_interrupted_run_is_closed_cleanly_and_continues_bit_by_bit(
    solver, at, tiny_prior, problem, tmp_path
):
    objective = fs.Analysis(problem, tiny_prior)
    whole = fs.solve(objective, solver, "adjoint", max_iter=9, rtol=None)
    path = tmp_path / "run.h5"
    interrupt(objective, solver, path, at, init="adjoint")
    record = fs.open_run(path)
    assert record.status == "interrupted" and np.isfinite(record.best["x"]).all()
    result = fs.resume(path, prior=tiny_prior)
    torch.testing.assert_close(result.x, whole.x, rtol=0, atol=0)
    assert result.status == whole.status
    for name in result.trace:
        if name != TIMED:
            np.testing.assert_array_equal(result.trace[name], whole.trace[name])


def test_images_that_had_finished_stay_finished(tiny_prior, tmp_path):
    problem = make_problem(ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3))
    start = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start[1] = fs.solve(fs.Analysis(problem.select([1]), tiny_prior), max_iter=300, rtol=1e-14).x[0]
    options = {"max_iter": 40, "rtol": 1e-8}
    objective = fs.Analysis(problem, tiny_prior)
    whole = fs.solve(objective, "lbfgs", start, **options)
    assert whole.iterations[1] < 30 < whole.iterations.max()
    interrupt(objective, "lbfgs", tmp_path / "run.h5", 30, init=start, **options)
    result = fs.resume(tmp_path / "run.h5", prior=tiny_prior)
    assert result.iterations.tolist() == whole.iterations.tolist()
    torch.testing.assert_close(result.x, whole.x, rtol=0, atol=0)


def test_extra_terms_snapshots_and_starts_are_rebuilt(tiny_prior, problem, tmp_path):
    objective = fs.Analysis(problem, tiny_prior, extra=Box(0.1, 0.9), lam=0.01)
    options = {"init": problem.y + 0.3, "snapshot_every": 2}
    whole = fs.solve(
        objective, "forward_backward", max_iter=9, rtol=None, record=tmp_path / "whole.h5", **options
    )
    interrupt(objective, "forward_backward", tmp_path / "run.h5", 5, **options)
    fs.resume(tmp_path / "run.h5", prior=tiny_prior)
    ours, theirs = fs.open_run(tmp_path / "run.h5"), fs.open_run(tmp_path / "whole.h5")
    assert ours.snapshots["iteration"].tolist() == [0, 2, 4, 6, 8]
    np.testing.assert_array_equal(ours.snapshots["x"], theirs.snapshots["x"])
    np.testing.assert_array_equal(ours.best["x"], whole.x.numpy())


def test_a_record_of_a_version_that_counted_less_is_resumed(tiny_prior, problem, tmp_path, monkeypatch):
    objective, path = fs.Analysis(problem, tiny_prior), tmp_path / "run.h5"
    whole = fs.solve(objective, "lbfgs", max_iter=9, rtol=None)
    with monkeypatch.context() as older:
        for module in ("tally", "run"):
            older.setattr(f"flowsolve.{module}.COUNTED", [n for n in COUNTED if not n.startswith("jvp")])
        interrupt(fs.Analysis(problem, tiny_prior), "lbfgs", path, 4)
        with h5py.File(path) as file:
            assert "jvp_E" not in file["trace"] and "vjp_E" in file["trace"]
    assert not fs.open_run(path).trace["jvp_E"].any()
    result = fs.resume(path, prior=tiny_prior)
    assert_same_trace(result.trace, whole.trace)
    assert_same_trace(fs.open_run(path).trace, {"iteration": np.arange(10), **whole.trace})


def test_a_run_with_narrow_couplings_goes_on_with_them(tiny_prior, problem, tmp_path):
    narrow, path = tiny_prior.to(coupling_dtype=torch.bfloat16), tmp_path / "run.h5"
    whole = fs.solve(fs.Analysis(problem, narrow), "adam", max_iter=9, rtol=None)
    exact = fs.solve(fs.Analysis(problem, tiny_prior), "adam", max_iter=9, rtol=None)
    assert not torch.equal(whole.x, exact.x)
    interrupt(fs.Analysis(problem, narrow), "adam", path, 4)
    assert_same_trace(fs.resume(path, prior=tiny_prior).trace, whole.trace)


def test_a_second_interruption_can_be_resumed_too(tiny_prior, problem, tmp_path):
    objective, path = fs.Analysis(problem, tiny_prior), tmp_path / "run.h5"
    whole = fs.solve(objective, "lbfgs", max_iter=9, rtol=None)
    interrupt(objective, "lbfgs", path, 3)

    def again(progress):
        if progress.iteration == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fs.resume(path, prior=tiny_prior, callback=again)
    assert fs.open_run(path).status == "interrupted"
    torch.testing.assert_close(fs.resume(path, prior=tiny_prior).x, whole.x, rtol=0, atol=0)


def test_what_cannot_be_resumed_says_why(tiny_prior, problem, tmp_path):
    objective = fs.Analysis(problem, tiny_prior)
    finished = tmp_path / "finished.h5"
    fs.solve(objective, max_iter=2, record=finished)
    with pytest.raises(RecordError, match="finished run; there is nothing to resume"):
        fs.resume(finished, prior=tiny_prior)
    path = tmp_path / "run.h5"
    interrupt(objective, "adam", path, 3)
    with pytest.raises(RecordError, match="prior 'tiny' cannot be loaded"):
        fs.resume(path)
    before = path.read_bytes()
    with pytest.raises(RecordError, match="SHA-256"):
        fs.resume(path, prior=make_tiny_prior(seed=4))
    assert path.read_bytes() == before
    with h5py.File(path, "r+") as file:
        del file["checkpoint"]
    with pytest.raises(RecordError, match="no whole checkpoint"):
        fs.resume(path, prior=tiny_prior)


def test_a_run_that_another_process_is_writing_is_left_alone(tiny_prior, problem, tmp_path):
    path, seen = tmp_path / "run.h5", []

    def callback(progress):
        with pytest.raises(RecordError, match=f"still being written by process {os.getpid()}"):
            fs.resume(path, prior=tiny_prior)
        seen.append(progress.iteration)

    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=2, rtol=None, record=path, callback=callback)
    assert seen == [1, 2]


def test_rerun_agrees_bit_by_bit_and_reports_versions(tiny_prior, problem, tmp_path):
    path = tmp_path / "run.h5"
    start = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for init in ("random", start):
        fs.solve(fs.Analysis(problem, tiny_prior), init=init, seed=7, max_iter=6, record=path, force=True)
        with h5py.File(path, "r+") as file:
            config = json.loads(file["config"].attrs["json"])
            config["versions"]["torch"] = "0.0.1"
            file["config"].attrs["json"] = json.dumps(config)
        again = fs.rerun(path, prior=tiny_prior, record=tmp_path / f"again-{type(init).__name__}.h5")
        assert again.identical and again.differences == {} and again.iterations == (6, 6)
        assert again.versions == {"torch": ("0.0.1", torch.__version__)}
        assert fs.open_run(tmp_path / f"again-{type(init).__name__}.h5").status == "finished"


def test_rerun_says_where_traces_differ(tiny_prior, problem, tmp_path):
    path = tmp_path / "run.h5"
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=6, record=path)
    with h5py.File(path, "r+") as file:
        file["trace/value"][0, 3] *= 1 + 1e-6
    again = fs.rerun(path, prior=tiny_prior)
    assert not again.identical
    assert list(again.differences) == ["value"]
    assert again.differences["value"] == pytest.approx(1e-6, rel=1e-2)


def test_rerun_never_writes_over_the_run_it_repeats(tiny_prior, problem, tmp_path):
    path = tmp_path / "run.h5"
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=1, record=path)
    with pytest.raises(ArgumentError, match="a file other than the run"):
        fs.rerun(path, prior=tiny_prior, record=path)


def test_a_finished_run_goes_on_to_a_later_iteration(tmp_path, tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, lam=0.01)
    short, long = (fs.solve(objective, "adam", max_iter=n, record=tmp_path / f"{n}.h5") for n in (3, 6))
    longer = fs.resume(tmp_path / "3.h5", prior=tiny_prior, max_iter=6)
    np.testing.assert_array_equal(longer.trace["value"], long.trace["value"])
    np.testing.assert_array_equal(longer.trace["value"][:4], short.trace["value"])
    assert fs.open_run(tmp_path / "3.h5").config["limits"]["max_iter"] == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3.h5", "6.h5"]
    with pytest.raises(ArgumentError, match="more than the 6 iterations"):
        fs.resume(tmp_path / "3.h5", prior=tiny_prior, max_iter=6)
