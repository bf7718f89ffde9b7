import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import best_smooth, smooth, smooth_discrepancy
from flowsolve.errors import ArgumentError, UnsupportedError

BLUR = ops.Blur.gaussian(0.8, dim_shape=(3, 8, 8), size=(3, 4))


def test_solves_its_normal_equations():
    problem = make_problem(BLUR)
    x = smooth(problem, torch.tensor([0.1, 0.01, 1.0]))
    weight = torch.tensor([0.1, 0.01, 1.0])[:, None, None, None]
    neighbours = sum(x.roll(shift, axis) for shift in (1, -1) for axis in (2, 3))
    gradient = BLUR.adjoint(BLUR.apply(x) - problem.y) + weight * (4 * x - neighbours)
    assert gradient.abs().max() < 1e-7


@pytest.mark.parametrize("boundary", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize(
    "make",
    [
        lambda boundary: ops.Blur(np.arange(6.0).reshape(2, 3), (3, 8, 8), boundary),
        lambda boundary: ops.SeparableBlur([1.0, 2.0], [0.5, 0, 0.1], (3, 8, 8), boundary),
    ],
    ids=["blur", "separable"],
)
def test_solves_its_normal_equations_whatever_the_boundary(make, boundary):
    blur = make(boundary)
    problem, difference = make_problem(blur), ops.Gradient((3, 8, 8))
    alpha = torch.tensor([0.1, 0.01, 1.0], dtype=torch.float64)
    x = smooth(problem, alpha)
    gradient = blur.adjoint(blur.apply(x) - problem.y)
    gradient += alpha[:, None, None, None] * difference.adjoint(difference.apply(x))
    assert gradient.norm() < 2e-5 * blur.adjoint(problem.y).norm()


def test_a_separable_blur_is_the_blur_of_its_kernel():
    rows, columns = np.array([1.0, 2.0]), np.array([0.5, 0.0, 0.1])
    both = (
        ops.Blur(np.outer(rows, columns), (3, 8, 8)),
        ops.SeparableBlur(rows, columns, (3, 8, 8), "circular"),
    )
    y = make_problem(both[0]).y
    first, second = (smooth(fs.InverseProblem(blur, y, sigma=0.05), 0.1) for blur in both)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("boundary", ["circular", "zero"])
def test_beats_the_measurements_and_the_oracle_beats_it(boundary):
    problem = make_problem(ops.Blur.gaussian(0.8, dim_shape=(3, 8, 8), size=(3, 4), boundary=boundary))
    plain = fs.psnr(problem.y, problem.x_true).mean()
    chosen = fs.psnr(smooth_discrepancy(problem), problem.x_true).mean()
    assert plain < chosen <= fs.psnr(best_smooth(problem), problem.x_true).mean() + 0.05


@pytest.mark.parametrize("operator", [ops.Identity((3, 8, 8)), ops.Downsample(2, (3, 8, 8))])
def test_only_blurs(operator):
    with pytest.raises(UnsupportedError, match="Blur"):
        smooth(make_problem(operator), 0.1)


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), torch.ones(2), "auto"])
@pytest.mark.parametrize("boundary", ["circular", "zero"])
def test_bad_weights_are_named(alpha, boundary):
    with pytest.raises(ArgumentError, match="alpha"):
        smooth(make_problem(ops.Blur.uniform(3, (3, 8, 8), boundary=boundary)), alpha)
