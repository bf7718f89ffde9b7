import numpy as np
import pytest
from helpers import make_problem

import flowsolve as fs
from flowsolve.errors import ArgumentError


def test_every_combination_is_solved_and_the_best_has_the_highest_mean_psnr(tiny_prior, problem):
    grid = {"lam": [1e-4, 1e-2, 1.0], "history": [3, 10]}
    tuning = fs.tune(problem, tiny_prior, grid, phi="latent", max_iter=12)
    assert [trial.settings for trial in tuning.trials] == [
        {"lam": lam, "history": history} for lam in grid["lam"] for history in grid["history"]
    ]
    scores = [trial.psnr.mean() for trial in tuning.trials]
    assert tuning.best.psnr.mean() == max(scores)
    trial = tuning.trials[2]
    result = fs.solve(fs.Analysis(problem, tiny_prior, phi="latent", lam=1e-2), history=3, max_iter=12)
    np.testing.assert_allclose(trial.value, result.value)
    np.testing.assert_allclose(trial.psnr, fs.psnr(result.x, problem.x_true), rtol=1e-9)
    np.testing.assert_array_equal(trial.evaluations, result.counts["evaluations"])


def test_the_curve_of_a_setting_takes_the_best_of_the_others(tiny_prior, problem):
    tuning = fs.tune(problem, tiny_prior, {"lam": [1e-3, 1.0], "init": ["zeros", "adjoint"]}, max_iter=5)
    values, scores = tuning.curve("lam")
    assert values == [1e-3, 1.0]
    assert scores[0] == max(t.psnr.mean() for t in tuning.trials if t.settings["lam"] == 1e-3)
    with pytest.raises(ArgumentError, match="name: got 'phi'; accepted: 'lam' or 'init'"):
        tuning.curve("phi")


def test_several_problems_and_formulations_can_be_searched(tiny_prior, problem):
    tuning = fs.tune(
        [problem, make_problem(n=2)], tiny_prior, {"formulation": ["analysis", "synthesis"]}, max_iter=3
    )
    assert [len(trial.psnr) for trial in tuning.trials] == [5, 5]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, r"grid: got \{\}"),
        ({"lam": []}, "grid: got"),
        ({"phi": "nll"}, "grid: got"),
        ({"lam": [-1.0]}, "lam: got -1.0"),
        ({"histroy": [3]}, "option of solver 'lbfgs': got histroy"),
        ({"formulation": ["both"]}, "formulation: got 'both'; accepted: 'analysis' or 'synthesis'"),
        ({"record": ["run.h5"]}, "grid: got record"),
    ],
)
def test_bad_grids_are_named(grid, message, tiny_prior, problem):
    with pytest.raises(ArgumentError, match=message):
        fs.tune(problem, tiny_prior, grid, max_iter=2)


def test_a_problem_without_truth_is_refused(tiny_prior, problem):
    blind = fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)
    with pytest.raises(ArgumentError, match="problem: got one without x_true"):
        fs.tune([problem, blind], tiny_prior, {"lam": [0.1]})
