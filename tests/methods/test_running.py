import multiprocessing
import os
import random
import time
from dataclasses import replace

import h5py
import methods_of_stages
import numpy as np
import pytest
import torch
from helpers import PATIENCE, Ticks, make_problem, make_tiny_prior
from methods_of_stages import FAST, FOUR, IMAGES, LATENTS, METHODS, TWO, WATCHED, make_method_run

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import registry
from flowsolve.errors import ArgumentError, FlowsolveError, RecordError, UnsupportedError
from flowsolve.flows.checkpoints import save_prior
from flowsolve.methods import Method, MethodRun, Stage
from flowsolve.tally import COUNTED

TIMED = "seconds"
KILLS = int(os.environ.get("FLOWSOLVE_KILLS", "3"))
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["methods_of_stages"])


def assert_same_trace(ours, theirs):
    assert set(ours) - {"iteration"} == set(theirs) - {"iteration"}
    for name in set(ours) - {TIMED, "iteration"}:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def assert_same(path, result, whole):
    """The record at a path and a result are those of the whole run."""
    record = fs.open_run(path)
    assert record.status == "finished"
    assert_same_trace(record.trace, whole.trace)
    assert_same_trace(result.trace, whole.trace)
    for part in ("best", "final"):
        ours, theirs = getattr(record, part), getattr(whole, part)
        np.testing.assert_array_equal(ours["x"], theirs.x.numpy())
        np.testing.assert_array_equal(ours["z"], theirs.z.numpy())
        np.testing.assert_array_equal(ours["value"], theirs.value)
        np.testing.assert_array_equal(ours["iteration"], theirs.iteration)
    torch.testing.assert_close(result.x, whole.x, rtol=0, atol=0)
    assert result.status == whole.status == [s.decode() for s in record.final["status"]]
    np.testing.assert_array_equal(result.iterations, whole.iterations)
    for name, counts in whole.counts.items():
        np.testing.assert_array_equal(result.counts[name], counts, err_msg=name)


@pytest.fixture(scope="module", params=METHODS)
def whole(request):
    """Return the name of a method and the result of its run without interruption or record."""
    return request.param, make_method_run(request.param).complete()


def test_a_method_is_one_record_with_one_trace(whole, tmp_path):
    name, alone = whole
    path = tmp_path / "run.h5"
    result = make_method_run(name, path).complete()
    assert_same(path, result, alone)
    record, trace = fs.open_run(path), result.trace
    rows = np.bincount(trace["stage"][:, 0])
    assert len(rows) == len(METHODS[name].stages) and (rows >= 1).all()
    assert record.trace["iteration"].tolist() == list(range(rows.sum()))
    assert (np.diff(trace["stage"], axis=0) >= 0).all()
    for column in ("seconds", *COUNTED):
        assert (np.diff(trace[column], axis=0) >= 0).all(), column
        if column in COUNTED:
            np.testing.assert_array_equal(trace[column][-1], result.counts[column])
    assert result.seconds == pytest.approx(record.seconds)
    assert result.iterations.max() == rows.sum() - len(rows)
    assert record.method["name"] == result.method.name == name
    assert len(record.earlier.ended) == len(rows) - 1
    frame = record.to_frame()
    assert len(frame) == rows.sum() * 3


def test_a_mixed_start_is_the_mean_of_both(tiny_prior, problem):
    before = MethodRun(TWO, problem, tiny_prior).complete().x
    mixed = Stage(init="mixed:harmonic", init_options={"share": 0.25}, max_iter=0)
    result = MethodRun(replace(TWO, stages=(*TWO.stages, mixed)), problem, tiny_prior).complete()
    torch.testing.assert_close(result.x, 0.75 * before + 0.25 * registry.get("harmonic")(problem))


def test_a_rerun_is_identical(whole, tmp_path):
    name, _ = whole
    path, again = tmp_path / "run.h5", tmp_path / "again.h5"
    make_method_run(name, path).complete()
    repetition = fs.rerun(path, prior=make_tiny_prior(), record=again)
    assert repetition.identical and repetition.differences == {}
    assert_same_trace(fs.open_run(again).trace, fs.open_run(path).trace)
    with h5py.File(again) as ours, h5py.File(path) as theirs:
        assert list(ours["stages"]) == list(theirs["stages"])


def test_each_stage_begins_where_the_last_ended(tiny_prior, problem):
    result = MethodRun(TWO, problem, tiny_prior).complete()
    first = MethodRun(Method("one", (LATENTS,)), problem, tiny_prior).complete()
    begun = fs.solve(
        IMAGES.objective(problem, tiny_prior, None), "adam", first.x, max_iter=6, rtol=None, lr=0.01
    )
    torch.testing.assert_close(result.x, begun.final.x, rtol=0, atol=0)
    np.testing.assert_array_equal(result.trace["value"][6:], begun.trace["value"])
    # What only one stage watches is unknown in the others.
    three = MethodRun(FOUR, problem, tiny_prior).complete().trace
    np.testing.assert_array_equal(np.isnan(three["held_out"]), three["stage"] > 0)


def test_the_record_can_be_read_while_the_method_runs(whole, tmp_path):
    name, alone = whole
    path, seen = tmp_path / "run.h5", []

    def look(progress):
        record = fs.open_run(path)
        assert record.status == "running"
        assert record.trace["iteration"][-1] == progress.iteration
        assert len(record.earlier.ended) == record.trace["stage"][-1, 0] == record.method["stage"]
        np.testing.assert_array_equal(progress.evaluations, record.trace["evaluations"][-1])
        assert progress.seconds == record.seconds and progress.iteration <= progress.max_iter
        seen.append(progress.iteration)

    make_method_run(name, path).complete(look)
    assert len(seen) == alone.iterations.max()
    assert not list(tmp_path.glob(".*"))


def test_a_callback_that_stops_in_the_first_stage_ends_the_method(tmp_path):
    for at in (2, LATENTS.max_iter):
        path = tmp_path / f"{at}.h5"
        result = make_method_run("two", path).complete(lambda progress, at=at: progress.iteration == at)
        assert result.iterations.tolist() == [at] * 3 and not result.trace["stage"].any()
        record = fs.open_run(path)
        assert record.status == "finished" and record.method["stage"] == 0
        np.testing.assert_array_equal(record.best["x"], result.x.numpy())


def test_a_loop_that_is_left_early_ends_the_method_as_stopped(tmp_path):
    path = tmp_path / "run.h5"
    with make_method_run("two", path) as going:
        for progress in going:
            if progress.iteration == 8:
                break
    assert going.result().status == ["stopped"] * 3
    assert fs.open_run(path).status == "finished" and len(fs.open_run(path).trace["value"]) == 9


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_in_any_iteration_is_resumed_bit_by_bit(whole, error, tmp_path):
    name, alone = whole
    # The start of a stage has a row of its own, but is no iteration.
    stage = alone.trace["stage"][:, 0]
    within = np.flatnonzero(stage[1:] == stage[:-1]) + 1
    for at in within[1], within[-2]:
        path = tmp_path / f"{at}.h5"

        def fail(progress, at=at):
            if progress.iteration == at:
                raise error

        with pytest.raises(error):
            make_method_run(name, path).complete(fail)
        status = "interrupted" if error is KeyboardInterrupt else "failed"
        before = fs.open_run(path)
        assert before.status == status and len(before.trace["iteration"]) == at + 1
        result = fs.resume(path, prior=make_tiny_prior())
        assert_same(path, result, alone)
        assert fs.open_run(path).attributes["run_id"] == before.attributes["run_id"]


def test_the_first_start_is_not_made_again_where_a_checkpoint_has_gone_beyond(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"

    def interrupt(progress):
        if progress.iteration == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_method_run("two", path).complete(interrupt)
    whole = make_method_run("two").complete()
    monkeypatch.setattr(Stage, "start", lambda *arguments: pytest.fail("a start was made"))
    assert_same(path, fs.resume(path, prior=make_tiny_prior()), whole)


@pytest.mark.parametrize("place", ["checked_start", "StageRun.record_to", "StageRun._begin"])
def test_an_interruption_between_stages_leaves_a_record_to_go_on_from(place, tmp_path, monkeypatch):
    alone, path = make_method_run("four").complete(), tmp_path / "run.h5"
    going = make_method_run("four", path)

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), going:
        for progress in going:
            if progress.iteration == 1:
                patch.setattr(f"flowsolve.methods.running.{place}", interrupt)
    record = fs.open_run(path)
    assert record.status == "interrupted" and record.method["stage"] == 0
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(record.best["x"], going.result().x.numpy())
    assert_same(path, fs.resume(path, prior=make_tiny_prior()), alone)


def test_a_stage_whose_start_fails_is_a_failed_run_of_the_stage_before(tiny_prior, tmp_path):
    problem, path = make_problem(ops.Blur.uniform(3, (3, 8, 8))), tmp_path / "run.h5"
    method = Method("fails", (LATENTS, Stage(init="harmonic", max_iter=3)))
    with pytest.raises(UnsupportedError, match="harmonic"):
        MethodRun(method, problem, tiny_prior, record=path, record_options=FAST).complete()
    record = fs.open_run(path)
    assert record.status == "failed" and len(record.trace["iteration"]) == 6
    assert np.isfinite(record.best["x"]).all() and list(tmp_path.iterdir()) == [path]


def start_process(name, path):
    process = CONTEXT.Process(target=methods_of_stages.main, args=(name, path))
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(KILLS))
def test_a_killed_method_is_resumed_bit_by_bit_across_stages(whole, attempt, tmp_path):
    name, alone = whole
    moment = random.Random(f"{name} {attempt}")
    last = len(alone.trace["value"])
    # One kill in each third of the run, then anywhere.
    third = attempt % 3
    target, delay = moment.randrange(third * last // 3, (third + 1) * last // 3), moment.uniform(0, 0.02)
    path = tmp_path / "run.h5"
    process = start_process(name, path)
    flushed = 0
    while process.is_alive() and flushed <= target:
        flushed = len(fs.open_run(path).trace["iteration"]) if path.exists() else 0
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.join(PATIENCE)
    record = fs.open_run(path)
    kept = len(record.trace["iteration"])
    assert kept >= flushed
    columns = set(record.trace) - {TIMED, "iteration"}
    for column in columns:
        np.testing.assert_array_equal(record.trace[column], alone.trace[column][:kept], err_msg=column)
    if record.status != "finished":
        assert record.status == "killed"
        assert_same(path, fs.resume(path, prior=make_tiny_prior()), alone)


@pytest.mark.parametrize("begun", [False, True])
def test_killed_exactly_between_two_stages(begun, tmp_path, monkeypatch):
    """What a kill leaves before the next stage has the file, and just after, before its first checkpoint."""
    alone = make_method_run("two").complete()
    path, left = tmp_path / "run.h5", tmp_path / "left.h5"
    owner = fs.recording.writer.RunWriter
    name = "checkpoint" if begun else "begin"
    original = getattr(owner, name)

    def keep(writer, *arguments):
        if writer.earlier.stage == 1 and not left.exists():
            left.write_bytes(path.read_bytes())
        return original(writer, *arguments)

    monkeypatch.setattr(owner, name, keep)
    make_method_run("two", path).complete()
    monkeypatch.undo()
    # The writer is gone: no process has its number.
    monkeypatch.setattr("flowsolve.recording.reader.process_is_gone", lambda pid: True)
    record = fs.open_run(left)
    assert record.status == "killed" and record.method["stage"] == int(begun)
    assert len(record.trace["iteration"]) == 6 + int(begun)
    assert_same(left, fs.resume(left, prior=make_tiny_prior()), alone)


def test_a_stage_without_iterations_stays_without_them_when_it_is_resumed(
    tiny_prior, problem, tmp_path, monkeypatch
):
    method = Method("none", (Stage(init="adjoint", max_iter=0), IMAGES))
    alone = MethodRun(method, problem, tiny_prior).complete()
    assert alone.iterations.tolist() == [6] * 3
    path = tmp_path / "run.h5"

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    going = MethodRun(method, problem, tiny_prior, record=path, record_options=FAST)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("flowsolve.methods.running.EndedStage", interrupt)
        going.complete()
    assert_same(path, fs.resume(path, prior=tiny_prior), alone)


def test_a_prior_that_a_record_names_by_its_path_is_never_opened(tiny_prior, problem, tmp_path, monkeypatch):
    weights, path = tmp_path / "own.safetensors", tmp_path / "run.h5"
    save_prior(weights, make_tiny_prior(seed=4))
    method = Method(
        "own", (Stage(init="zeros", formulation="synthesis", prior=str(weights), max_iter=3), IMAGES)
    )
    going = MethodRun(method, problem, tiny_prior, record=path, record_options=FAST)
    with pytest.raises(KeyboardInterrupt), going:
        for progress in going:
            if progress.iteration == 2:
                raise KeyboardInterrupt
    assert fs.rerun(path, prior=tiny_prior).differences == {}
    # Another process has not loaded the file.
    monkeypatch.setattr("flowsolve.flows.zoo._given", {})
    opened = []
    monkeypatch.setattr("flowsolve.flows.zoo.read_checkpoint", opened.append)
    monkeypatch.setattr("flowsolve.flows.zoo.PRIORS._items", {})
    for repeat in (fs.resume, fs.rerun):
        with pytest.raises(FlowsolveError, match="no registered prior has the SHA-256"):
            repeat(path, prior=tiny_prior)
    assert opened == []


def test_a_record_of_another_prior_is_refused(tmp_path):
    path = tmp_path / "run.h5"
    make_method_run("two", path).complete()
    with pytest.raises(RecordError, match="SHA-256"):
        fs.rerun(path, prior=make_tiny_prior(seed=4))


def test_seconds_are_shared_as_the_iterations_are(tiny_prior, problem, monkeypatch):
    monkeypatch.setattr("flowsolve.run.time.perf_counter", Ticks())
    stages = (LATENTS, IMAGES, Stage(max_iter=9))
    going = MethodRun(Method("m", stages), problem, tiny_prior, max_seconds=20.0)
    limits = []
    with going:
        for _ in going:
            if len(limits) == going.current.index:
                limits.append(going.current.limits["max_seconds"])
    assert limits[0] == 20 * 5 / 20
    spent = going.current.earlier.ended[0].trace["seconds"][-1].max()
    assert limits[1] == pytest.approx((20 - spent) * 6 / 15)
    short = MethodRun(Method("m", stages), problem, tiny_prior, max_seconds=1e-6).complete()
    assert short.iterations.max() <= 3 and short.status == ["timeout"] * 3


def test_measured_values_are_put_back(tiny_prior):
    problem = make_problem(sigma=0.0)
    stage = Stage(formulation="synthesis", lam=0.1, init="zeros", max_iter=3)
    apart, put = (
        MethodRun(Method("m", (Stage(**{**stage.as_json(), "put_back": p}),)), problem, tiny_prior).complete()
        for p in (False, True)
    )
    assert (problem.operator.apply(apart.x) - problem.y).abs().max() > 0.01
    torch.testing.assert_close(problem.operator.apply(put.x), problem.y)


def test_a_stage_that_watches_hands_on_what_predicted_best(tiny_prior):
    problem = make_problem(ops.Identity((3, 8, 8)), sigma=0.3)
    watched = Stage(**{**WATCHED.as_json(), "init": "zeros", "max_iter": 80})
    going = MethodRun(Method("m", (watched, IMAGES)), problem, tiny_prior)
    going.complete()
    (ended,) = going.earlier.ended
    assert ended.status == ["held_out"] * 3
    misfits = ended.trace["held_out"]
    alone = MethodRun(Method("m", (watched,)), problem, tiny_prior).complete()
    np.testing.assert_array_equal(alone.best.iteration, misfits.argmin(0))
    np.testing.assert_array_equal(ended.x, alone.best.x.numpy())
    np.testing.assert_array_equal(ended.iterations, misfits.argmin(0) + 3)
    assert (alone.best.iteration < alone.final.iteration).all()


@pytest.mark.parametrize(
    ("stages", "operator", "named"),
    [
        ((LATENTS, Stage(prior="none.safetensors")), None, "none.safetensors"),
        ((LATENTS, Stage(prior="face64")), None, "faces64"),
        ((LATENTS, Stage()), ops.Radon(4, (3, 8, 8)), "closed"),
        ((WATCHED, Stage(init="checked:tikhonov")), ops.Identity((3, 8, 8)), "a mask"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(stages, operator, named, tiny_prior, tmp_path):
    problem = make_problem(operator, sigma=0.0)
    with pytest.raises(FlowsolveError) as error:
        MethodRun(Method("m", stages), problem, tiny_prior, record=tmp_path / "run.h5")
    assert named in str(error.value) and not list(tmp_path.iterdir())


def test_a_record_that_exists_is_replaced_only_when_asked_to(tmp_path):
    path = tmp_path / "run.h5"
    make_method_run("two", path).complete()
    with pytest.raises(ArgumentError, match="exists"):
        make_method_run("two", path)
    make_method_run("two", path, force=True).complete()
    assert fs.open_run(path).status == "finished"
