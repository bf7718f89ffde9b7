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
    slanted = np.array([[0, 1, 1], [1, 2, 1], [1, 1, 0]]) / 8
    operator = ops.Downsample(2, (3, 8, 8), kernel=slanted, boundary="reflect")
    problem = make_problem(operator, sigma=0)
    before = (operator.apply(bicubic(problem)) - problem.y).square().sum()
    assert (operator.apply(back_projection(problem)) - problem.y).square().sum() < before


def test_only_downsampling():
    with pytest.raises(UnsupportedError, match="Downsample"):
        bicubic(make_problem(ops.Identity((3, 8, 8))))


BOUNDARIES = ["circular", "zero", "reflect", "replicate"]


def smooth_image(n=36):
    """A bump that is nearly 0 at the edges, so that no boundary rule changes it."""
    row, column = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    bump = np.exp(-((row - 17) ** 2 + (column - 19) ** 2) / 2 / 2.5**2)
    return torch.as_tensor(np.stack([bump, 0.5 * bump, 0.8 * bump.T]))[None]


def centre(x):
    """The mass and the centre of mass of each channel."""
    along = torch.arange(36, dtype=torch.float64)
    mass = x.sum((2, 3))
    row, column = (x.sum(axis) @ along / mass for axis in (3, 2))
    return torch.stack([mass / 50, row, column])


def spot(row, column, shape=(4, 5)):
    kernel = np.zeros(shape)
    kernel[row, column] = 1.0
    return kernel


KERNELS = {
    "even": np.ones((2, 2)) / 4,
    "corner": spot(0, 4),
    "other corner": spot(3, 0),
    "each channel its own": np.stack([spot(0, 0), spot(2, 3), np.full((4, 5), 1 / 20)]),
    "sum 20": 20 * spot(1, 2),
    "negative": -spot(1, 1),
    "both signs": spot(1, 1) - 0.3 * spot(2, 3),
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("factor", "offset"), [(1, 0), (2, 0), (2, 1), ((2, 3), (1, 2))])
def test_pixels_stand_at_the_centre_of_mass_of_the_kernel(name, boundary, factor, offset):
    x = smooth_image()
    operator = ops.Downsample(factor, (3, 36, 36), KERNELS[name], boundary, offset)
    found = bicubic(fs.InverseProblem(operator, operator.apply(x), sigma=0.01))
    torch.testing.assert_close(centre(found), centre(x), atol=0.05, rtol=0)


@pytest.mark.parametrize(("side", "factor"), [(9, 2), (10, 4), (7, 3)])
def test_the_last_block_stands_at_the_middle_of_what_it_has(side, factor):
    ramp = torch.linspace(0, 1, side, dtype=torch.float64).expand(1, 1, side, side).contiguous()
    operator = ops.Downsample(factor, (1, side, side))
    x = bicubic(fs.InverseProblem(operator, operator.apply(ramp), sigma=0))
    assert (x - ramp)[..., -1].abs().max() < 0.25 / side * factor


def test_past_a_circular_edge_the_other_side_is_measured():
    x = torch.rand(1, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    operator = ops.Downsample(1, (3, 12, 12), spot(0, 0, (7, 7)))
    torch.testing.assert_close(bicubic(fs.InverseProblem(operator, operator.apply(x), sigma=0)), x)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_white_image_is_white_whatever_the_kernel_sums_to(boundary):
    white = torch.ones(1, 3, 12, 12, dtype=torch.float64)
    for kernel in (
        20 * np.ones((3, 3)),
        -np.ones((2, 2)),
        np.stack([spot(i, i + 1) * (i + 2) for i in range(3)]),
    ):
        operator = ops.Downsample(2, (3, 12, 12), kernel, boundary)
        torch.testing.assert_close(
            bicubic(fs.InverseProblem(operator, operator.apply(white), sigma=0)), white
        )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_channel_of_which_only_differences_are_measured_is_zero(boundary, dtype):
    kernel = np.stack([spot(1, 2), spot(1, 2) - spot(1, 3), spot(1, 2)])
    operator = ops.Downsample(2, (3, 8, 8), kernel, boundary)
    x = make_images(2).to(dtype)
    found = bicubic(fs.InverseProblem(operator, operator.apply(x), sigma=0))
    assert (found[:, 1] == 0).all() and (found[:, [0, 2]] != 0).all()
    assert torch.isfinite(back_projection(fs.InverseProblem(operator, operator.apply(x), sigma=0))).all()


def test_back_projection_does_not_amplify_noise():
    operator = ops.Downsample(2, (3, 36, 36), {"gaussian": {"std": 1.5, "size": 7}})
    x = smooth_image()
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.02), sigma=0.02)
    assert fs.psnr(back_projection(problem), x) > fs.psnr(bicubic(problem), x) - 1
    exact = fs.InverseProblem(operator, operator.apply(x), sigma=0)
    torch.testing.assert_close(operator.apply(back_projection(exact)), exact.y)
