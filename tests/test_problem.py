import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.noise import Poisson

SHAPE = (3, 8, 8)


def test_noise_has_the_level_asked_for_and_does_not_depend_on_the_batch():
    x = torch.full((40, 3, 16, 16), 0.5, dtype=torch.float64)
    identity = ops.Identity(dim_shape=(3, 16, 16))
    y = fs.degrade(identity, x, sigma=0.1, seed=4)
    assert (y - x).std().item() == pytest.approx(0.1, rel=0.02)
    torch.testing.assert_close(fs.degrade(identity, x[:3], sigma=0.1, seed=4), y[:3])
    assert not torch.equal(fs.degrade(identity, x, sigma=0.1, seed=5), y)


def test_sigma_zero_adds_nothing():
    x = make_images()
    blur = ops.Blur.uniform(3, dim_shape=SHAPE)
    torch.testing.assert_close(fs.degrade(blur, x, sigma=0), blur.apply(x))


def test_a_mask_hides_without_scaling_the_noise():
    mask = np.ones((8, 8))
    mask[2:5] = 0
    mask[6] = 0.5
    operator = ops.Mask(mask, dim_shape=SHAPE)
    x = torch.zeros(50, *SHAPE, dtype=torch.float64)
    y = fs.degrade(operator, x, sigma=0.2, seed=0)
    assert (y[:, :, 2:5] == 0).all()
    assert y[:, :, 6].std().item() == pytest.approx(0.2, rel=0.1)
    problem = fs.InverseProblem(operator, y, sigma=0.2)
    assert problem.n_measurements.tolist() == [3 * 8 * 5] * 50


def test_numpy_measurements_and_single_images_are_taken():
    x = make_images(1)[0].numpy().astype(np.float32)
    operator = ops.Identity(dim_shape=SHAPE)
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.1), sigma=0.1, x_true=x)
    assert problem.y.shape == (1, *SHAPE) and problem.y.dtype == torch.float32
    assert problem.x_true.shape == (1, *SHAPE)


def test_select_takes_the_images_and_their_masks():
    x = make_images(4)
    operator = ops.Mask.random(missing=0.5, dim_shape=SHAPE, seed=0, n_images=4)
    problem = fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0), sigma=0, x_true=x)
    some = problem.select([3, 1])
    torch.testing.assert_close(some.operator.apply(some.x_true), some.y)
    assert len(some) == 2 and some.operator.n_images == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": -0.1}, "sigma: got -0.1; accepted: a finite number >= 0"),
        ({"sigma": float("nan")}, "sigma"),
        ({"y": torch.zeros(2, 3, 8, 7)}, r"y: got shape \(2, 3, 8, 7\); accepted: \(N, 3, 8, 8\)"),
        ({"y": torch.full((1, 3, 8, 8), torch.nan)}, "y: got NaN or infinite values"),
        ({"y": torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, "y: got dtype torch.uint8"),
        ({"x_true": torch.zeros(2, 3, 8, 8)}, "x_true: got 2 images"),
        ({"operator": "blur"}, "operator: got str"),
    ],
)
def test_bad_arguments_are_named(change, message):
    good = {"operator": ops.Identity(dim_shape=SHAPE), "y": torch.zeros(1, *SHAPE), "sigma": 0.1}
    arguments = good | change
    with pytest.raises(ArgumentError, match=message):
        fs.InverseProblem(arguments.pop("operator"), arguments.pop("y"), **arguments)


def test_a_batch_that_does_not_fit_per_image_masks_is_refused():
    operator = ops.Mask.random(missing=0.5, dim_shape=SHAPE, seed=0, n_images=4)
    with pytest.raises(ArgumentError, match="y: got 3 images; accepted: 4"):
        fs.InverseProblem(operator, torch.zeros(3, *SHAPE), sigma=0)


def test_exactly_one_kind_of_noise_is_asked_for():
    operator, x = ops.Identity(dim_shape=SHAPE), make_images()
    with pytest.raises(ArgumentError, match="sigma, noise: got neither"):
        fs.degrade(operator, x)
    with pytest.raises(ArgumentError, match="sigma, noise: got both"):
        fs.degrade(operator, x, sigma=0.1, noise=Poisson(peak=10))
    y = fs.degrade(operator, x, noise=Poisson(peak=10), seed=3)
    torch.testing.assert_close((10 * y).round(), 10 * y, rtol=0, atol=1e-12)


def test_noise_of_a_problem():
    from flowsolve import noise

    x = make_images(2)
    model = noise.Poisson(30.0)
    y = fs.degrade(ops.Identity((3, 8, 8)), x, noise=model, seed=1)
    problem = fs.InverseProblem(ops.Identity((3, 8, 8)), y, noise=model, x_true=x)
    assert problem.noise == model and problem.sigma == pytest.approx(float((y.mean() / 30) ** 0.5))
    assert problem.select([1]).noise == model and problem.to(dtype=torch.float32).noise == model
    assert make_problem(sigma=0.03).noise == noise.Gaussian(0.03)
    assert fs.InverseProblem(problem.operator, y, noise=noise.Gaussian(0.2)).sigma == 0.2
    hidden = ops.Mask.box(4, dim_shape=(3, 8, 8))
    half = fs.InverseProblem(hidden, hidden(y), noise=model)
    shown = y[:, torch.as_tensor(np.broadcast_to(hidden.mask, (3, 8, 8)) > 0)]
    assert half.sigma == pytest.approx(float((shown.mean() / 30) ** 0.5))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "sigma, noise: got neither"),
        ({"noise": 0.1}, "noise: got float"),
        ({"noise": "gaussian-0.1", "sigma": 0.2}, "noise: got str"),
    ],
)
def test_noise_that_is_none(given, message):
    with pytest.raises(ArgumentError, match=message):
        fs.InverseProblem(ops.Identity((3, 8, 8)), make_images(1), **given)
