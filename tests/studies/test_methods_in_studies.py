"""Methods as cells of a study: planned, run, gone on with, and read like any other contender."""

import dataclasses

import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve.methods import Method, Stage, registry
from flowsolve.studies.answers import answers
from flowsolve.studies.cell import Work, run_cell
from flowsolve.studies.cells import Cell
from flowsolve.studies.estimate import estimate
from flowsolve.studies.folder import StudyFolder
from flowsolve.studies.index import read_index
from flowsolve.studies.paired import paired_tests
from flowsolve.studies.parsing import StudyFileError
from flowsolve.studies.planning import make_plan
from flowsolve.studies.running import run_study

BOTH = """
[compute]
checkpoint_seconds = 0
flush_seconds = 0
[budget]
max_seconds = 1000
[[cells]]
task = "inpaint-random"
sigma = 0.05
method = ["two-stages", "one-stage"]
prior = "tiny.safetensors"
seed = [0, 1]
[[cells]]
task = "inpaint-random"
sigma = 0.05
prior = "tiny.safetensors"
max_iter = 3
"""


@pytest.fixture(autouse=True)
def methods(monkeypatch):
    """Two methods of a few iterations, known for as long as a test runs."""
    images = Stage(lam=1e-3, solver="gradient_descent", init="harmonic", max_iter=3)
    latents = Stage(formulation="synthesis", lam=1e-3, init="zeros", max_iter=4)
    known = {
        "two-stages": lambda problem, prior: Method(
            "two-stages", (latents, dataclasses.replace(images, init="previous"))
        ),
        "one-stage": lambda problem, prior: Method("one-stage", (images,)),
    }
    registry.names()
    for name, planner in known.items():
        monkeypatch.setitem(registry._items, name, planner)


def test_a_method_is_one_cell_for_each_problem_and_keeps_other_ids(study):
    plan = make_plan(study(BOTH))
    # Starts that come out the same with every seed are run once.
    assert [(cell.method, cell.solver, cell.seed) for cell in plan.cells] == [
        ("two-stages", "two-stages", 0),
        ("one-stage", "one-stage", 0),
        (None, "lbfgs", 0),
    ]
    method, single = plan.cells[0], plan.cells[2]
    assert (method.formulation, method.phi, method.lam, method.start) == ("", "", "", "")
    assert "two-stages" in method.id
    assert Cell.from_dict(method.to_dict()) == method and Cell.from_dict(single.to_dict()) == single
    assert "method" not in single.to_dict()


def test_solvers_run_beside_methods_where_they_are_asked_for(study):
    table = '[[cells]]\ntask = "denoise"\nprior = "tiny.safetensors"\nmethod = "one-stage"\n'
    table = table.replace("one-stage", "oberlin-verm-2021-synthesis").replace("denoise", "deblur")
    alone, beside = (make_plan(study(table + more)) for more in ("", 'solver = ["lbfgs", "adam"]\n'))
    assert [cell.solver for cell in alone.cells] == ["oberlin-verm-2021-synthesis"]
    assert [cell.solver for cell in beside.cells] == ["lbfgs", "adam", "oberlin-verm-2021-synthesis"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('method = "atuo"', "did you mean 'auto'"),
        ('method = "asim-2020"\ntask = "deblur"', "has no synthesis protocol"),
        ('method = "one-stage"\ntask = "deblur"', "harmonic"),
        (
            'method = "one-stage"\ntask = "inpaint-random"\nmax_evaluations = 5',
            "accepted: max_iter or max_seconds",
        ),
        ('method = "one-stage"\ntask = "inpaint-random"\nmax_iter = 0', "accepted: an integer >= 1"),
    ],
)
def test_what_a_method_cannot_do_is_told_with_its_line(study, line, message):
    task = "" if "task" in line else 'task = "deblur"\n'
    with pytest.raises(StudyFileError, match=message) as raised:
        make_plan(study(f'[[cells]]\nprior = "tiny.safetensors"\n{task}{line}\n'))
    assert raised.value.problems[0].line > 1


def test_a_cell_is_the_restoration_and_is_read_as_one_contender(study, tmp_path, tiny_prior):
    plan = make_plan(study(BOTH.replace("[compute]", '[compute]\ndtype = "float64"')))
    summary = run_study(plan, tmp_path / "out")
    assert len(summary.finished) == 3 and not summary.failures
    index = read_index([tmp_path / "out"])
    two = index.table[index.table["solver"] == "two-stages"]
    x = torch.as_tensor(plan.inputs.x).double()
    operator = fs.operators.Mask.random(missing=0.6, dim_shape=(3, 8, 8), seed=0, n_images=3)
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.05, seed=0), sigma=0.05, x_true=x)
    result = fs.restore(problem, tiny_prior, "two-stages")
    np.testing.assert_allclose(two["psnr"], fs.metrics.psnr(result.x, x), rtol=1e-6)
    np.testing.assert_allclose(two["value"], result.value, rtol=1e-6)
    assert set(two["method"]) == {"two-stages"} and set(two["formulation"]) == set(two["start"]) == {""}
    assert two["lam"].isna().all()
    tests = paired_tests(index.table)
    assert {*tests["better"], *tests["worse"]} == {"two-stages", "one-stage", "lbfgs from usual"}
    best = answers(index)[0]
    assert "two-stages" in best.text and "one-stage" in best.text and "from  " not in best.text
    # F of two methods is never compared.
    assert all(len(set(own["solver"])) == 1 for _, own in index.problems())
    # Records that no plan knows are told apart in the same way.
    alone = read_index(sorted((tmp_path / "out" / "runs").glob("*.h5"))).table
    assert set(alone["method"]) == {"two-stages", "one-stage", ""}


@pytest.mark.parametrize("at", [2, 7])
def test_a_method_that_was_interrupted_goes_on_bit_by_bit(study, tmp_path, at):
    plan = make_plan(study(BOTH))

    def work(folder):
        StudyFolder(tmp_path / folder).begin(plan)
        cell = plan.cells[0]
        return Work(cell, str(tmp_path / folder), plan.priors[cell.prior], plan.compute)

    def interrupt(progress):
        if progress.iteration == at:
            raise KeyboardInterrupt

    assert run_cell(work("whole"), plan.paths).failure is None
    with pytest.raises(KeyboardInterrupt):
        run_cell(work("out"), plan.paths, interrupt)
    outcome = run_cell(work("out"), plan.paths)
    assert outcome.resumed and outcome.failure is None
    one, two = (fs.open_run(StudyFolder(tmp_path / name).record(outcome.cell)) for name in ("whole", "out"))
    np.testing.assert_array_equal(one.trace["value"], two.trace["value"])
    np.testing.assert_array_equal(one.best["x"], two.best["x"])


def test_the_time_of_a_method_is_that_of_its_stages(study):
    plan = make_plan(study(BOTH))
    found = estimate(plan)
    assert not found.failed and all(0 < found.seconds[cell.id] < 600 for cell in plan.cells)
