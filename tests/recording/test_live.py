import multiprocessing
import os
import resource
import time

import kill_target
import numpy as np
import pytest
import torch
from helpers import PATIENCE, make_problem, make_tiny_prior

import flowsolve as fs
from flowsolve.errors import RecordError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["kill_target"])


def long_run(path, seen):
    """Run, and wait every 90 iterations until a reader has seen the record grow once more."""

    def wait(progress):
        if progress.iteration % 90 == 0:
            assert seen.acquire(timeout=PATIENCE)

    torch.set_num_threads(1)
    objective = fs.Analysis(make_problem(), make_tiny_prior())
    options = {"max_iter": 1000, "rtol": None, "checkpoint_seconds": 0.05, "flush_seconds": 0.0}
    fs.solve(objective, "adam", record=path, lr=1e-4, callback=wait, **options)


def test_a_reader_follows_a_writer_in_another_process_for_a_thousand_iterations(tmp_path):
    path, seen = tmp_path / "run.h5", CONTEXT.Semaphore(0)
    process = CONTEXT.Process(target=long_run, args=(path, seen))
    process.start()
    lengths, last = [], None
    while process.is_alive():
        if not path.exists():
            continue
        record = fs.open_run(path)
        trace = record.trace
        lengths.append(len(trace["iteration"]))
        if len(lengths) == 1 or lengths[-1] > lengths[-2]:
            seen.release()
        else:
            time.sleep(0.01)
        np.testing.assert_array_equal(trace["iteration"], np.arange(lengths[-1]))
        if last is not None:
            np.testing.assert_array_equal(trace["value"][: len(last)], last)
        last = trace["value"]
    process.join()
    assert process.exitcode == 0
    lengths.append(len(fs.open_run(path).trace["iteration"]))
    assert lengths == sorted(lengths) and lengths[-1] == 1001
    assert len(set(lengths)) > 10, "the reader should see the run grow"


def run_with_little_disk(path, limit, answer):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        kill_target.main("gradient_descent", "analysis", path, 400, snapshot_every=1)
    except RecordError as error:
        answer.put(str(error))
    except BaseException as error:
        answer.put(f"unexpected {type(error).__name__}: {error}")


def test_a_full_disk_ends_the_run_with_a_clear_error_and_a_readable_record(tmp_path):
    path, answer = tmp_path / "run.h5", CONTEXT.Queue()
    process = CONTEXT.Process(target=run_with_little_disk, args=(path, 6_000_000, answer))
    process.start()
    message = answer.get(timeout=PATIENCE)
    process.join(PATIENCE)
    assert process.exitcode == 0, "the process must end by itself"
    assert message.startswith(f"record: writing {path} failed: ")
    record = fs.open_run(path)
    assert len(record.trace["iteration"]) > 5
    assert np.isfinite(record.trace["value"]).all()
    assert len(record.snapshots["x"]) >= len(record.snapshots["iteration"]) > 5


@pytest.mark.parametrize("loss", ["file", "folder"])
def test_a_removed_file_or_folder_ends_the_run_with_a_clear_error(loss, tiny_prior, problem, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()

    def callback(progress):
        if progress.iteration == 3:
            (folder / "run.h5").unlink()
            if loss == "folder":
                folder.rmdir()

    with pytest.raises(RecordError, match=r"run\.h5 was removed or replaced while the run was writing it"):
        fs.solve(
            fs.Analysis(problem, tiny_prior),
            record=folder / "run.h5",
            callback=callback,
            flush_seconds=0.0,
            rtol=None,
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_lost_permission_ends_the_run_with_a_clear_error(tiny_prior, problem, tmp_path):
    def callback(progress):
        if progress.iteration == 3:
            (tmp_path / "run.h5").chmod(0o400)

    with pytest.raises(RecordError, match=r"permission to write .* was lost"):
        fs.solve(
            fs.Analysis(problem, tiny_prior),
            record=tmp_path / "run.h5",
            callback=callback,
            flush_seconds=0.0,
            rtol=None,
        )
    assert len(fs.open_run(tmp_path / "run.h5").trace["iteration"]) >= 3
