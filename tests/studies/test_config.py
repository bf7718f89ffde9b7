import pytest
from pydantic import ValidationError

from flowsolve.studies.config import Budget, Cells, Compute, SolverTable, Study, TaskTable
from flowsolve.studies.template import TEMPLATE
from flowsolve.studies.toml import tomllib


def test_single_values_are_lists_of_one():
    cells = Cells(task="deblur", lam=1e-3, seed=4, sigma=0.1)
    assert (cells.task, cells.lam, cells.seed, cells.sigma) == (["deblur"], [1e-3], [4], [0.1])
    assert (cells.solver, cells.formulation, cells.start) == (["lbfgs"], ["analysis"], ["usual"])


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("map", "map"),
        ("0.3 map", "0.3 map"),
        ("0.30map", "0.3 map"),
        ("1 map", "map"),
        (0, 0.0),
        (1e-3, 1e-3),
    ],
)
def test_weights(given, taken):
    assert Cells(task="deblur", lam=given).lam == [taken]


@pytest.mark.parametrize(
    "given", ["mapp", "x map", "-1 map", "map 0.3", -1, float("inf"), float("nan"), True]
)
def test_bad_weights(given):
    with pytest.raises(ValidationError, match=r"0\.3 map"):
        Cells(task="deblur", lam=given)


def test_limits():
    usual = {"max_iter": 400, "max_evaluations": None, "max_seconds": None, "rtol": 1e-7}
    assert Budget().limits() == usual
    assert Budget(max_seconds=3).limits() == usual | {"max_iter": None, "max_seconds": 3}
    assert Budget(rtol=0).limits()["rtol"] is None
    over = Cells(task="deblur", max_iter=5).budget().over(Budget(max_iter=9, max_evaluations=7, rtol=0))
    assert over.limits() == {"max_iter": 5, "max_evaluations": 7, "max_seconds": None, "rtol": None}


def test_devices_are_names_that_there_can_be_somewhere():
    assert Compute(device="cuda:1").device == "cuda:1"
    with pytest.raises(ValidationError, match="got 'cdua'; accepted: cpu, cuda"):
        Compute(device="cdua")


def test_options_of_tasks_and_solvers():
    task = TaskTable(task="inpaint-random", missing=0.5, mask="m.png", sigma=0.1)
    assert task.options() == {"missing": 0.5, "mask": "m.png"}
    solver = SolverTable(solver="hybrid", inner={"name": "lbfgs", "options": {"history": 3}})
    assert solver.options() == {"inner": {"name": "lbfgs", "options": {"history": 3}}}
    assert SolverTable(solver="nonlinear_cg", beta="hager-zhang").options() == {"beta": "hager-zhang"}


def test_the_template_is_a_study():
    study = Study.model_validate(
        raw := tomllib.loads(TEMPLATE), context={k: list(raw[k]) for k in ("tasks", "solvers")}, strict=True
    )
    assert len(study.cells) == 3 and set(study.solvers) == {"lbfgs-short"}


def test_every_key_of_the_file_is_in_the_template():
    for table in (Study, Budget, TaskTable, Cells):
        for key in table.model_fields:
            assert key in TEMPLATE, key
