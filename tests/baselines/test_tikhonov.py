import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import best_tikhonov, constant_fit, tikhonov, tikhonov_discrepancy
from flowsolve.errors import UnsupportedError

BLUR = ops.Blur.uniform(3, dim_shape=(3, 8, 8))


def test_solves_its_normal_equations():
    problem = make_problem(BLUR)
    alpha = torch.tensor([0.1, 0.01, 1.0], dtype=torch.float64)
    x, constant = tikhonov(problem, alpha), constant_fit(problem)
    gradient = BLUR.adjoint(BLUR.apply(x) - problem.y) + alpha[:, None, None, None] * (x - constant)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize(
    "operator", [BLUR, ops.Downsample(2, (3, 8, 8)), ops.Mask.random(dim_shape=(3, 8, 8), n_images=3)]
)
def test_the_constant_is_the_best_one(operator):
    problem = make_problem(operator)
    colour = torch.rand(3, 3, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    flat = colour.expand(3, 3, 8, 8).contiguous()
    exact = fs.InverseProblem(operator, operator.apply(flat), sigma=0)
    torch.testing.assert_close(constant_fit(exact), flat)
    best = (operator.apply(constant_fit(problem)) - problem.y).square().sum()
    assert best < (operator.apply(constant_fit(problem) + 0.01) - problem.y).square().sum()


def test_the_discrepancy_is_met():
    problem = make_problem(BLUR)
    misfit = (BLUR.apply(tikhonov_discrepancy(problem)) - problem.y).square().flatten(1).sum(1)
    np.testing.assert_allclose(misfit, 192 * 0.05**2, rtol=1e-3)


def test_without_noise_the_measurements_are_fitted():
    x = tikhonov_discrepancy(make_problem(BLUR, sigma=0))
    assert fs.psnr(x, make_images()).min() > 35


def test_the_oracle_is_at_least_as_good_and_needs_the_truth():
    problem = make_problem(BLUR)
    found = fs.psnr(best_tikhonov(problem), problem.x_true)
    for alpha in (0.01, 0.1, 1.0):
        assert (found >= fs.psnr(tikhonov(problem, alpha), problem.x_true) - 0.1).all()
    with pytest.raises(UnsupportedError, match="x_true"):
        best_tikhonov(fs.InverseProblem(BLUR, problem.y, sigma=0.05))
