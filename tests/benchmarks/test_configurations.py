"""Configurations: the frozen ones name what exists, and stages follow one another."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from benchmarks.configurations import FROZEN, MEAN, PREVIOUS, Configuration, Stage, freeze, frozen
from benchmarks.paper_rows import PAPER_ROWS
from flowsolve import baselines, initialise
from flowsolve.solvers import make_solver


@pytest.mark.parametrize("row", frozen() or [None])
def test_frozen_configurations_name_what_exists(row):
    if row is None:
        pytest.skip(f"{FROZEN} is not there yet")
    entry = frozen()[row]
    assert row in PAPER_ROWS
    stages = Configuration.from_json(entry["stages"]).stages
    assert stages and stages[0].init != PREVIOUS
    for stage in stages:
        make_solver(stage.solver, **stage.options)
        starts = {*initialise.registry, *baselines.registry, MEAN, PREVIOUS}
        assert stage.init.removeprefix(initialise.ENCODED) in starts
        assert stage.max_iter >= 1
    assert np.isfinite(entry["validation"]["psnr"])


def test_a_second_stage_starts_where_the_first_ended(tiny_prior):
    problem = make_problem()
    first = Stage("synthesis", "latent", factor=1.0, options={"scaling": "levels"}, max_iter=4)
    second = Stage("analysis", "nll", factor=0.5, init=PREVIOUS, max_iter=3)
    both = Configuration((first, second)).restore(problem, tiny_prior)
    alone = Configuration((first,)).restore(problem, tiny_prior)
    objective = fs.Analysis(problem, tiny_prior, phi="nll", lam=0.25 * problem.sigma**2)
    by_hand = fs.solve(objective, "lbfgs", alone.x, max_iter=3, rtol=None)
    torch.testing.assert_close(both.x, by_hand.final.x)
    np.testing.assert_array_equal(both.evaluations, alone.evaluations + by_hand.counts["evaluations"])


def test_known_pixels_are_put_back(tiny_prior):
    problem = make_problem(sigma=0.0)
    stage = Stage("synthesis", "latent", lam=1e-3, max_iter=2, put_back=True)
    x = Configuration((stage,)).restore(problem, tiny_prior).x
    torch.testing.assert_close(problem.operator.apply(x), problem.y)
    without = dataclasses.replace(stage, put_back=False)
    apart = Configuration((without,)).restore(problem, tiny_prior).x
    assert (problem.operator.apply(apart) - problem.y).abs().max() > 1e-3


def test_a_given_image_is_a_start(tiny_prior):
    problem = make_problem()
    mean = torch.full((3, 8, 8), 0.5, dtype=torch.float64)
    stage = Stage("analysis", init=MEAN, factor=1.0, max_iter=1)
    x = Configuration((stage,)).restore(problem, tiny_prior, {MEAN: mean}).x
    assert x.shape == (3, 3, 8, 8) and torch.isfinite(x).all()


def test_a_start_takes_its_options(tiny_prior):
    problem = make_problem()
    stage = Stage("analysis", init="total-variation", init_options={"iterations": 2}, max_iter=2)
    objective = stage.objective(problem, tiny_prior)
    start = baselines.total_variation(problem, iterations=2)
    by_hand = fs.solve(objective, "lbfgs", start, max_iter=2, rtol=None)
    torch.testing.assert_close(Configuration((stage,)).restore(problem, tiny_prior).x, by_hand.final.x)


def test_json_and_back(tmp_path):
    stage = Stage("analysis", factor=0.35, options={"history": 5}, init="tikhonov")
    configuration = Configuration((stage,))
    path = tmp_path / "new" / "faces.json"
    freeze("deblur-0.01", {"stages": configuration.as_json()}, path)
    freeze("box-0", {"stages": []}, path)
    assert set(frozen(path)) == {"deblur-0.01", "box-0"}
    assert Configuration.from_json(frozen(path)["deblur-0.01"]["stages"]) == configuration
    with pytest.raises(ValueError, match="not both"):
        Stage("analysis", lam=1.0, factor=1.0)


def test_a_shortened_configuration_has_the_same_stages():
    stages = (
        Stage("synthesis", "latent", lam=1e-4, max_iter=77),
        Stage("analysis", "smoothed", init="previous", options={"horizon": 40, "lr": 0.1}, max_iter=2),
        Stage("analysis", init="total-variation"),
        Stage("analysis", init="harmonic"),
    )
    short = Configuration(stages).shortened(4).stages
    assert [stage.max_iter for stage in short] == [19, 1, 25, 25]
    assert short[2].init_options == {"iterations": 75} and short[3].init_options == {}
    assert short[2].label().endswith("from total-variation iterations=75 25 it.")
    assert Configuration.from_json(Configuration(short).as_json()) == Configuration(short)
    assert short[0].options == {} and short[1].options == {"horizon": 10, "lr": 0.1}
    assert short[1].init == "previous" and short[0].lam == 1e-4
