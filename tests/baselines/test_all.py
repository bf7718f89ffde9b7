"""Every baseline on every operator it takes: finite images, also where there is next to nothing to go by."""

import warnings

import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve import baselines
from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError

BOUNDARIES = ["circular", "zero", "reflect", "replicate"]
SOME = ["circular", "reflect"]
DIFFERENCE = np.array([[-1.0, 2.0, -1.0]])
EACH = np.stack([np.ones((3, 3)), np.diag([1.0, -1.0, 0.0]), np.eye(3)])

# Without a closed form their inner iterations take seconds.
SLOW = {"total-variation", "tikhonov-best", "tikhonov-gradient-best"}


def operators():
    for shape in [(1, 1, 1), (3, 1, 5)]:
        yield ops.Identity(shape)
        yield ops.Gradient(shape)
        yield ops.Mask(np.linspace(-1, 2, int(np.prod(shape))).reshape(shape))
        yield ops.Downsample(shape[1:], shape)
        yield ops.Downsample(1, shape, np.ones((1, 1)))
        yield from (ops.Blur(np.ones(np.minimum(2, shape[1:])), shape, boundary) for boundary in SOME)
    for boundary in SOME:
        for kernel in (DIFFERENCE, 20 * np.ones((2, 3)), EACH):
            yield ops.Blur(kernel, (3, 4, 6), boundary)
            yield ops.Downsample(2, (3, 4, 6), kernel, boundary, offset=1)


OPERATORS = list(operators())


@pytest.mark.parametrize(
    ("sigma", "dtype"), [(0.0, torch.float64), (0.05, torch.float32)], ids=["exact", "noisy"]
)
@pytest.mark.parametrize("number", range(len(OPERATORS)))
def test_images_are_finite_and_of_the_measurements_kind(number, sigma, dtype):
    operator = OPERATORS[number]
    x = torch.rand(2, *operator.dim_shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = fs.degrade(operator, x, sigma=sigma)
    problem = fs.InverseProblem(operator, y, sigma=sigma, x_true=x)
    for name in baselines.registry:
        if name in SLOW and not operator.has_closed_form:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ops.ConvergenceWarning)
                found = baselines.registry.get(name)(problem)
        except UnsupportedError:
            continue
        assert found.shape == x.shape and found.dtype == dtype, name
        assert torch.isfinite(found).all() and found.abs().max() < 100, name


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_task_has_a_baseline_that_works_whatever_the_boundary(boundary):
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    operator = ops.Blur.uniform(3, (3, 8, 8), boundary=boundary)
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.05), sigma=0.05, x_true=x)
    for name, baseline in baselines.suited_baselines(problem).items():
        if name not in SLOW:
            assert fs.psnr(baseline(problem), x) > 5, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("boundary", ["circular", "reflect", "replicate"])
def test_a_colour_that_is_not_measured_is_zero(boundary, dtype):
    operator = ops.Blur(DIFFERENCE, (3, 8, 8), boundary)
    y = operator.apply(torch.rand(1, 3, 8, 8, dtype=dtype, generator=torch.Generator().manual_seed(0)))
    problem = fs.InverseProblem(operator, y + 1e-7, sigma=0.0)
    assert baselines.constant_fit(problem).abs().max() == 0
    assert baselines.smooth(problem, 0.1).mean((2, 3)).abs().max() < 1e-4
