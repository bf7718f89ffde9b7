import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.methods.survey import smooth_images, survey

FACE = (3, 64, 64)


def surveyed(operator, sigma=0.01):
    x = make_images(size=operator.dim_shape[-1])
    return survey(fs.InverseProblem(operator, operator.apply(x), sigma=sigma))


@pytest.mark.parametrize(
    ("operator", "least", "most"),
    [
        (ops.Identity(FACE), 0, 0),
        (ops.Mask(np.ones(FACE)), 0, 1e-4),
        # Neighbours tell what single pixels hide, but not what lies in a hole.
        (ops.Mask.random(missing=0.6, dim_shape=FACE, seed=0), 0, 5e-4),
        (ops.Mask.box(21, dim_shape=FACE), 3e-3, 2e-2),
        (ops.Blur.uniform(7, FACE), 0, 1e-4),
        (ops.Downsample(4, FACE), 0, 1e-4),
        # Of three colours one direction is left.
        (ops.Grey(FACE), 0.5, 0.9),
    ],
    ids=["identity", "whole", "scattered", "hole", "blur", "downsampling", "grey"],
)
def test_share_of_smooth_images_that_is_hidden(operator, least, most):
    assert least <= surveyed(operator).hidden <= most


@pytest.mark.parametrize(
    ("operator", "passed"),
    [(ops.Identity(FACE), 1), (ops.Downsample(2, FACE), 0.25), (ops.Blur.uniform(7, FACE), 1 / 49)],
)
def test_how_much_of_white_noise_gets_through(operator, passed):
    assert surveyed(operator).passed == pytest.approx(passed, rel=0.1)


def test_only_what_can_be_inverted_without_noise_is_complete():
    blur = ops.Blur(np.array([[0.1], [0.8], [0.1]]), (3, 8, 8))
    x = make_images()
    assert survey(fs.InverseProblem(blur, blur.apply(x), sigma=0.0)).complete
    assert not survey(fs.InverseProblem(blur, blur.apply(x), sigma=0.01)).complete
    rounded = (blur.apply(x) * 255).round() / 255
    assert not survey(fs.InverseProblem(blur, rounded, sigma=0.0)).complete
    assert not survey(fs.InverseProblem(blur, rounded.float(), sigma=0.0)).complete
    assert not survey(make_problem(sigma=0.0)).complete


def test_probes_are_the_same_every_time_and_of_the_problem():
    problem = make_problem(ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3))
    probes = smooth_images(problem)
    assert probes.shape == (3, 3, 8, 8) and probes.dtype == problem.y.dtype
    torch.testing.assert_close(probes, smooth_images(problem), rtol=0, atol=0)


def test_the_truth_is_not_looked_at():
    problem = make_problem()
    blind = fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)
    assert survey(problem) == survey(blind)
