import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import best_smooth, smooth, smooth_discrepancy
from flowsolve.errors import UnsupportedError

BLUR = ops.Blur.gaussian(0.8, dim_shape=(3, 8, 8), size=(3, 4))


def test_solves_its_normal_equations():
    problem = make_problem(BLUR)
    x = smooth(problem, torch.tensor([0.1, 0.01, 1.0]))
    weight = torch.tensor([0.1, 0.01, 1.0])[:, None, None, None]
    neighbours = sum(x.roll(shift, axis) for shift in (1, -1) for axis in (2, 3))
    gradient = BLUR.adjoint(BLUR.apply(x) - problem.y) + weight * (4 * x - neighbours)
    assert gradient.abs().max() < 1e-7


def test_beats_the_measurements_and_the_oracle_beats_it():
    problem = make_problem(BLUR)
    plain = fs.psnr(problem.y, problem.x_true).mean()
    chosen = fs.psnr(smooth_discrepancy(problem), problem.x_true).mean()
    assert plain < chosen <= fs.psnr(best_smooth(problem), problem.x_true).mean() + 0.05


@pytest.mark.parametrize(
    "operator", [ops.Blur.uniform(3, (3, 8, 8), boundary="zero"), ops.Identity((3, 8, 8))]
)
def test_only_circular_blurs(operator):
    with pytest.raises(UnsupportedError, match="circular"):
        smooth(make_problem(operator), 0.1)
