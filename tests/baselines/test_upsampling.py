import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import back_projection, bicubic
from flowsolve.errors import UnsupportedError


@pytest.mark.parametrize(("factor", "size"), [(2, 8), (3, 8), ((2, 4), 8)])
def test_back_projection_agrees_with_the_measurements(factor, size):
    operator = ops.Downsample(factor, (3, size, size))
    problem = make_problem(operator, sigma=0)
    x = back_projection(problem)
    torch.testing.assert_close(operator.apply(x), problem.y, atol=1e-12, rtol=0)
    assert fs.psnr(x, make_images()).mean() >= fs.psnr(bicubic(problem), make_images()).mean()


def test_a_linear_ramp_is_interpolated_in_place():
    ramp = torch.linspace(0, 1, 16, dtype=torch.float64).expand(1, 3, 16, 16).contiguous()
    for operator in (
        ops.Downsample(2, (3, 16, 16)),
        ops.Downsample(2, (3, 16, 16), kernel=np.ones((1, 1)), offset=1, boundary="reflect"),
    ):
        x = bicubic(fs.InverseProblem(operator, operator.apply(ramp), sigma=0))
        torch.testing.assert_close(x[..., 6:10], ramp[..., 6:10], atol=2e-3, rtol=0)


def test_with_a_kernel_it_iterates():
    operator = ops.Downsample(2, (3, 8, 8), kernel=np.ones((3, 3)) / 9, boundary="reflect")
    problem = make_problem(operator, sigma=0)
    before = (operator.apply(bicubic(problem)) - problem.y).square().sum()
    assert (operator.apply(back_projection(problem)) - problem.y).square().sum() < before


def test_only_downsampling():
    with pytest.raises(UnsupportedError, match="Downsample"):
        bicubic(make_problem(ops.Identity((3, 8, 8))))
