import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import PATIENCE

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.studies.folder import StudyFolder
from flowsolve.studies.planning import make_plan
from flowsolve.studies.running import Inline, run_study

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


def break_cell(plan, index):
    """Return the plan with a cell that fails: its budget has no limit at all."""
    limits = dict.fromkeys(plan.cells[index].limits)
    cells = [dataclasses.replace(c, limits=limits) if i == index else c for i, c in enumerate(plan.cells)]
    return dataclasses.replace(plan, cells=cells)


def test_every_cell_becomes_a_record_and_is_not_run_again(small, tmp_path):
    summary = run_study(small, tmp_path / "out")
    ids = [cell.id for cell in small.cells]
    assert summary.finished == ids and not summary.failures and not summary.skipped
    records = {path.stem: path for path in (tmp_path / "out" / "runs").iterdir()}
    assert set(records) == set(ids)
    assert {fs.open_run(path).status for path in records.values()} == {"finished"}
    before = {name: path.stat().st_mtime_ns for name, path in records.items()}
    again = run_study(small, tmp_path / "out")
    assert (again.skipped, again.finished) == (4, [])
    assert {name: path.stat().st_mtime_ns for name, path in records.items()} == before


def test_a_cell_that_fails_is_told_and_the_rest_goes_on(small, tmp_path):
    broken = break_cell(small, 1)
    summary = run_study(broken, tmp_path / "out")
    assert len(summary.finished) == 3
    (failure,) = summary.failures
    assert failure["cell"] == small.cells[1].id and failure["error"] == "ArgumentError"
    assert "max_iter" in failure["message"]
    assert summary.to_dict()["failed"] == 1
    # Failed cells are told again, and run again only where that is asked for.
    again = run_study(small, tmp_path / "out")
    assert (again.skipped, again.finished, again.failures) == (3, [], [failure])
    retried = run_study(small, tmp_path / "out", retry_failed=True)
    assert retried.finished == [small.cells[1].id] and retried.failures == []
    assert StudyFolder(tmp_path / "out").failed() == {}


def test_another_study_and_a_folder_in_use_are_refused(small, tmp_path):
    run_study(small, tmp_path / "out")
    with pytest.raises(ArgumentError, match="another study"):
        run_study(dataclasses.replace(small, fingerprint="another"), tmp_path / "out")
    with StudyFolder(tmp_path / "new").locked(), pytest.raises(ArgumentError, match="is running"):
        run_study(small, tmp_path / "new")


def test_what_workers_get(small, tmp_path):
    got = []

    class Spy(Inline):
        def carry_out(self, works, inputs, began):
            got.append(inputs)
            return super().carry_out(works, inputs, began)

    for transfer in ("path", "array"):
        run_study(small, tmp_path / transfer, executor=Spy(), transfer=transfer)
    assert got == [small.paths, small.inputs]


def start_driver(path, out, *options):
    command = [sys.executable, "-m", "flowsolve.cli", "study", "run", path, "--out", out, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(word) for word in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_iterations(record, process, least):
    while process.poll() is None and not (
        record.exists() and len(fs.open_run(record).trace["iteration"]) > least
    ):
        time.sleep(0.02)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_study_whose_process_dies_goes_on_bit_by_bit(signum, study, tmp_path):
    path, out = study(SLOW), tmp_path / "out"
    plan = make_plan(path)
    run_study(plan, tmp_path / "whole")
    second = StudyFolder(out).record(plan.cells[1].id)
    process = start_driver(path, out)
    wait_for_iterations(second, process, 3)
    process.send_signal(signum)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if signum == signal.SIGTERM else -signum), err
    assert "Traceback" not in err
    assert fs.open_run(second).status == ("interrupted" if signum == signal.SIGTERM else "killed")
    summary = run_study(plan, out)
    assert summary.skipped == 1 and summary.resumed == [plan.cells[1].id]
    for cell in plan.cells:
        one, two = (fs.open_run(StudyFolder(f).record(cell.id)) for f in (tmp_path / "whole", out))
        for name in one.trace:
            if name != "seconds":
                np.testing.assert_array_equal(one.trace[name], two.trace[name], err_msg=name)
        np.testing.assert_array_equal(one.best["x"], two.best["x"])


def test_the_plan_in_the_folder_says_what_was_run(small, tmp_path):
    run_study(small, tmp_path / "out")
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    for cell in plan["cells"]:
        config = fs.open_run(tmp_path / "out" / "runs" / f"{cell['id']}.h5").config
        assert config["solver"]["name"] == cell["solver_name"]
        assert config["initialiser"] == {"name": cell["init"], "seed": cell["seed"]}
        assert config["objective"]["formulation"] == cell["formulation"]
        assert config["n_images"] == len(cell["images"])
