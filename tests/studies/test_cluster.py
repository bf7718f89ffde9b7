import dataclasses
import os
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from helpers import wait_until

import flowsolve as fs
from flowsolve.errors import ArgumentError, FlowsolveError
from flowsolve.studies.cluster import Cluster, connected, local_cluster
from flowsolve.studies.folder import StudyFolder
from flowsolve.studies.planning import make_plan
from flowsolve.studies.running import run_study

pytest.importorskip("distributed")

SLOW = """
[compute]
checkpoint_seconds = 0
flush_seconds = 0
[budget]
max_iter = 150
rtol = 0
[[cells]]
task = ["deblur", "denoise"]
solver = "adam"
prior = "tiny.safetensors"
start = "adjoint"
"""


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as cluster:
        yield cluster


def kill_the_writer_of(record, killed):
    """Kill the process that writes a record once it is at its fourth iteration."""
    while not (record.exists() and len(fs.open_run(record).trace["iteration"]) > 3):
        time.sleep(0.02)
    pid = int(fs.open_run(record).attributes["pid"])
    if pid != os.getpid():
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)


def test_all_of_a_local_cluster_listens_on_loopback_alone(cluster):
    assert cluster.workers == 2
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def test_a_cell_whose_worker_is_killed_goes_on_bit_by_bit(cluster, study, tmp_path):
    plan, out = make_plan(study(SLOW)), tmp_path / "out"
    run_study(plan, tmp_path / "whole")
    victim, killed = plan.cells[0], []
    watcher = threading.Thread(target=kill_the_writer_of, args=(StudyFolder(out).record(victim.id), killed))
    watcher.start()
    summary = run_study(plan, out, executor=cluster)
    watcher.join()
    assert killed and sorted(summary.finished) == sorted(cell.id for cell in plan.cells)
    assert victim.id in summary.resumed and not summary.failures
    for cell in plan.cells:
        one, two = (fs.open_run(StudyFolder(f).record(cell.id)) for f in (tmp_path / "whole", out))
        assert two.attributes["pid"] not in killed
        for name in one.trace:
            if name != "seconds":
                np.testing.assert_array_equal(one.trace[name], two.trace[name], err_msg=name)
        np.testing.assert_array_equal(one.best["x"], two.best["x"])


def test_images_can_travel_with_the_work(cluster, small, tmp_path):
    plan = dataclasses.replace(small, paths=dataclasses.replace(small.paths, images=("nowhere",)))
    assert len(run_study(plan, tmp_path / "array", executor=cluster, transfer="array").finished) == 4
    failures = run_study(plan, tmp_path / "path", executor=cluster).failures
    assert len(failures) == 4 and all("nowhere" in failure["message"] for failure in failures)


def test_a_scheduler_that_is_running_is_used_and_cells_that_begin_are_told(cluster, small, tmp_path):
    began = []
    address = cluster.client.scheduler.address
    with connected(address) as other:
        executor = Cluster(other.client, address)
        carry_out = executor.carry_out

        def told(works, inputs, ignored):
            yield from carry_out(works, inputs, began.append)
            wait_until(lambda: len(began) == len(works))

        executor.carry_out = told
        summary = run_study(small, tmp_path / "out", executor=executor)
    assert len(summary.finished) == 4 and sorted(began) == sorted(cell.id for cell in small.cells)


def test_a_cell_that_fails_on_a_worker_is_told(cluster, small, tmp_path):
    unlimited = dataclasses.replace(small.cells[2], limits=dict.fromkeys(small.cells[2].limits))
    broken = dataclasses.replace(small, cells=[*small.cells[:2], unlimited, small.cells[3]])
    summary = run_study(broken, tmp_path / "out", executor=cluster)
    assert len(summary.finished) == 3 and summary.failures[0]["cell"] == small.cells[2].id


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "tcp://127.0.0.1", "nonsense", "tcp://", "http://x:1"]
)
def test_a_scheduler_that_cannot_be_reached_is_one_clear_error(address):
    with (
        pytest.raises(ArgumentError, match=f"scheduler: got {address}, which cannot be reached"),
        connected(address),
    ):
        pass


def test_a_scheduler_that_is_lost_is_one_clear_error(small):
    class Lost:
        status = "cancelled"

    with pytest.raises(FlowsolveError, match="tcp://x:1 was lost"):
        Cluster(None, "tcp://x:1")._outcome(Lost(), None)


def test_a_cell_that_kills_its_workers_is_a_failure(small, tmp_path):
    KilledWorker = type("KilledWorker", (Exception,), {})
    folder = StudyFolder(tmp_path)
    folder.begin(small)
    work = SimpleNamespace(cell=small.cells[0], folder=str(tmp_path))
    future = SimpleNamespace(status="error", exception=lambda: KilledWorker("long story"))
    outcome = Cluster(None, "here")._outcome(future, work)
    assert (
        outcome.failure["error"] == "KilledWorker" and "its worker died 4 times" in outcome.failure["message"]
    )
    assert folder.failed() == {small.cells[0].id: outcome.failure}


def test_workers_must_be_at_least_one():
    with pytest.raises(ArgumentError, match="workers"), local_cluster(0):
        pass
