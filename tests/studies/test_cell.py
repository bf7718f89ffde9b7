import dataclasses

import h5py
import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve.studies import cell as cells
from flowsolve.studies.cell import Work, make_objective, run_cell
from flowsolve.studies.folder import StudyFolder
from flowsolve.studies.inputs import kept_prior
from flowsolve.studies.planning import make_plan

OFTEN = """
[compute]
checkpoint_seconds = 0
flush_seconds = 0
[budget]
max_iter = 12
rtol = 0
[[cells]]
task = "inpaint-random"
sigma = 0.05
solver = ["lbfgs", "adam"]
prior = "tiny.safetensors"
start = "random"
seed = 3
"""


def works_of(plan, folder):
    StudyFolder(folder).begin(plan)
    return [Work(cell, str(folder), plan.priors[cell.prior], plan.compute) for cell in plan.cells]


def interrupt(work, plan, at, error=KeyboardInterrupt):
    def callback(progress):
        if progress.iteration == at:
            raise error("stop")

    return run_cell(work, plan.paths, callback)


def assert_same(one, two):
    one, two = fs.open_run(one), fs.open_run(two)
    assert one.status == two.status == "finished"
    for name in one.trace:
        if name != "seconds":
            np.testing.assert_array_equal(one.trace[name], two.trace[name], err_msg=name)
    np.testing.assert_array_equal(one.best["x"], two.best["x"])
    np.testing.assert_array_equal(one.final["z"], two.final["z"])


def test_a_cell_is_the_run_it_describes(study, tmp_path, tiny_prior):
    plan = make_plan(study(OFTEN.replace("[compute]", '[compute]\ndtype = "float64"')))
    work = works_of(plan, tmp_path / "out")[0]
    before = torch.get_num_threads()
    outcome = run_cell(work, plan.paths)
    assert torch.get_num_threads() == before
    assert (outcome.cell, outcome.failure, outcome.resumed) == (work.cell.id, None, False)
    record = fs.open_run(tmp_path / "out" / "runs" / f"{work.cell.id}.h5")
    assert record.status == "finished" and len(record.trace["iteration"]) == 13
    x = torch.as_tensor(plan.inputs.x).double()
    operator = fs.operators.Mask.random(missing=0.6, dim_shape=(3, 8, 8), seed=0, n_images=3)
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.05, seed=0), sigma=0.05, x_true=x)
    result = fs.solve(fs.Analysis(problem, tiny_prior), "lbfgs", "random", seed=3, max_iter=12, rtol=None)
    # Sums depend on where the arrays lie in memory, and here one run read them from a file.
    np.testing.assert_allclose(record.trace["value"], result.trace["value"], rtol=1e-9)


def test_arrays_and_paths_give_the_same(study, tmp_path):
    plan = make_plan(study(OFTEN))
    run_cell(by_path := works_of(plan, tmp_path / "one")[0], plan.paths)
    run_cell(by_array := works_of(plan, tmp_path / "two")[0], plan.inputs)
    assert_same(*(StudyFolder(work.folder).record(work.cell.id) for work in (by_path, by_array)))


def test_batches_see_the_measurements_of_the_whole(study):
    whole, parts = (make_plan(study(OFTEN, f'images = "photos"\nbatch = {n}\n')) for n in (3, 2))

    def problems(plan):
        prior = kept_prior(plan.priors["tiny.safetensors"], "cpu", "float32")
        return [
            make_objective(cell, plan.inputs, prior).problem for cell in plan.cells if cell.solver == "adam"
        ]

    (all_images,), batches = problems(whole), problems(parts)
    assert [len(batch) for batch in batches] == [2, 1]
    torch.testing.assert_close(torch.cat([b.y for b in batches]), all_images.y, rtol=0, atol=0)
    masks = [np.broadcast_to(b.operator.mask, (len(b), 1, 8, 8)) for b in batches]
    np.testing.assert_array_equal(np.concatenate(masks), all_images.operator.mask)


@pytest.mark.parametrize("which", [0, 1])
def test_an_interrupted_cell_goes_on_bit_by_bit(study, tmp_path, which):
    plan = make_plan(study(OFTEN))
    whole, work = works_of(plan, tmp_path / "whole")[which], works_of(plan, tmp_path / "out")[which]
    run_cell(whole, plan.paths)
    with pytest.raises(KeyboardInterrupt):
        interrupt(work, plan, 5)
    outcome = run_cell(work, plan.paths)
    assert outcome.resumed and outcome.failure is None
    assert_same(*(StudyFolder(w.folder).record(w.cell.id) for w in (whole, work)))
    # Once more: there is nothing left to do.
    before = StudyFolder(work.folder).record(work.cell.id).read_bytes()
    assert not run_cell(work, plan.paths).resumed
    assert StudyFolder(work.folder).record(work.cell.id).read_bytes() == before


def test_a_failure_is_written_down_and_a_retry_goes_on(study, tmp_path):
    plan = make_plan(study(OFTEN))
    work = works_of(plan, tmp_path / "out")[0]
    folder = StudyFolder(work.folder)
    outcome = interrupt(work, plan, 5, OSError)
    assert outcome.failure == folder.failed()[work.cell.id]
    assert (outcome.failure["error"], outcome.failure["message"]) == ("OSError", "stop")
    assert run_cell(work, plan.paths).resumed
    assert folder.failed() == {} and folder.finished(work.cell.id)


def test_images_that_have_changed_since_the_plan_are_a_failure(study, tmp_path):
    plan = make_plan(study(OFTEN))
    work = works_of(plan, tmp_path / "out")[0]
    changed = dataclasses.replace(plan.paths, digest="0" * 64)
    assert "other images" in run_cell(work, changed).failure["message"]


@pytest.mark.parametrize("damage", ["cut", "no checkpoint", "empty"])
def test_a_record_that_cannot_be_gone_on_with_is_begun_anew(study, tmp_path, damage):
    plan = make_plan(study(OFTEN))
    work = works_of(plan, tmp_path / "out")[0]
    record = StudyFolder(work.folder).record(work.cell.id)
    with pytest.raises(KeyboardInterrupt):
        interrupt(work, plan, 5)
    if damage == "cut":
        record.write_bytes(record.read_bytes()[:2000])
    elif damage == "empty":
        record.write_bytes(b"")
    else:
        with h5py.File(record, "r+") as file:
            del file["checkpoint"]
    outcome = run_cell(work, plan.paths)
    assert not outcome.resumed and outcome.failure is None
    assert fs.open_run(record).status == "finished"


def test_a_record_of_another_machine_is_taken_over_once_it_is_silent(study, tmp_path, monkeypatch):
    plan = make_plan(study(OFTEN))
    work = works_of(plan, tmp_path / "out")[0]
    record = StudyFolder(work.folder).record(work.cell.id)
    with pytest.raises(KeyboardInterrupt):
        interrupt(work, plan, 5)
    with h5py.File(record, "r+") as file:
        file.attrs["host"] = "elsewhere"
        file["status"][()] = np.bytes_("running")
    assert fs.open_run(record).status == "running"
    waited = []
    monkeypatch.setattr(cells, "SILENCE", 3600.0)

    def sleep(seconds):
        waited.append(seconds)
        monkeypatch.setattr(cells, "SILENCE", 0.0)

    monkeypatch.setattr(cells.time, "sleep", sleep)
    assert run_cell(work, plan.paths).resumed
    assert waited == [0.5] and fs.open_run(record).status == "finished"
    assert [p.name for p in record.parent.iterdir()] == [record.name]
