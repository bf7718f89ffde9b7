"""Half-quadratic splitting and ADMM against minimisers that are known."""

import numpy as np
import pytest
import torch
from helpers import make_problem, make_tiny_prior
from outside_priors import make_energy

import flowsolve as fs
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.functionals import Box


def test_admm_reaches_the_minimum_and_half_quadratic_splitting_that_of_its_last_level():
    objective = fs.Analysis(make_problem(), make_energy(), lam=0.01)
    lowest = fs.solve(objective, "lbfgs", max_iter=300, rtol=1e-13).value
    exact = fs.solve(objective, "admm", sigma_end=0.1, max_iter=40, rtol=None)
    np.testing.assert_allclose(exact.value, lowest, rtol=1e-3)
    coarse, fine = (
        fs.solve(objective, "hqs", sigma_start=0.3, sigma_end=s, horizon=20, max_iter=40, rtol=None).value
        for s in (0.3, 0.1)
    )
    assert (fine - lowest < 0.2 * (coarse - lowest)).all()


def test_levels_fall_in_equal_ratios_from_first_to_last():
    objective = fs.Analysis(make_problem(sigma=0.1), make_energy())
    result = fs.solve(objective, "hqs", sigma_start=0.4, horizon=3, max_iter=5, rtol=None)
    levels = np.sqrt(2 * objective.lam * result.trace["step"][1:, 0])
    np.testing.assert_allclose(levels, [0.4, 0.2, 0.1, 0.1, 0.1])


def test_a_flow_takes_a_few_inner_iterations():
    result = fs.solve(
        fs.Analysis(make_problem(), make_tiny_prior(), phi="latent", lam=0.01),
        "hqs",
        "adjoint",
        max_iter=4,
        rtol=None,
    )
    assert (result.value < result.trace["value"][0]).all() and (result.counts["prox"] == 8).all()


@pytest.mark.parametrize("solver", ["hqs", "admm"])
def test_what_they_cannot_take(solver):
    problem, prior = make_problem(), make_tiny_prior()
    for objective, message in (
        (fs.Synthesis(problem, prior), "over images"),
        (fs.Analysis(problem, prior, extra=Box(), lam=0.1), "extra term Box"),
        (fs.Analysis(problem, prior, lam=0.0), "lam = 0"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            fs.solve(
                objective, solver, torch.full((3, 3, 8, 8), 0.5) if objective.space == "images" else "zeros"
            )
    with pytest.raises(ArgumentError, match="sigma_end: got -1"):
        fs.solve(fs.Analysis(problem, prior), solver, sigma_end=-1)
    with pytest.raises(ArgumentError, match="horizon: got 0"):
        fs.solve(fs.Analysis(problem, prior), solver, horizon=0)
