import json

import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.functionals import TotalVariation
from flowsolve.recording.config import describe_run
from flowsolve.solvers import Adam, Solver
from flowsolve.solvers.base import solver_name
from flowsolve.stopping import make_criterion


def test_config_is_json_and_rebuilds_the_operator(tiny_prior):
    operator = ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3)
    objective = fs.Analysis(make_problem(operator), tiny_prior, extra=TotalVariation(0.1))
    run = fs.Run(
        objective,
        Adam(),
        "zeros",
        limits={"max_iter": 1, "max_evaluations": None, "max_seconds": None, "rtol": None},
    )
    criterion = make_criterion(1, None, None, None)
    config = json.loads(json.dumps(describe_run(objective, Adam(), run.start, 0, run.limits, criterion)))
    again = ops.from_config(config["operator"])
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(again.apply(x), operator.apply(x))
    assert config["objective"]["extra"]["name"] == "tv"
    assert config["objective"]["lam"] == "map" and config["objective"]["lam_value"] == 0.05**2 / 2


def test_a_solver_that_is_not_registered_goes_by_its_class():
    class Mine(Adam):
        pass

    assert solver_name(Adam()) == "adam"
    assert solver_name(Mine()) == "Mine"
    assert issubclass(Mine, Solver)
