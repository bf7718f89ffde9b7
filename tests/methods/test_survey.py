import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.methods.survey import smooth_images, survey

SHAPE = (3, 16, 16)


def surveyed(operator, sigma=0.01):
    x = make_images(size=operator.dim_shape[-1])
    return survey(fs.InverseProblem(operator, operator.apply(x), sigma=sigma))


@pytest.mark.parametrize(
    ("operator", "least", "most"),
    [
        (ops.Identity(SHAPE), 0, 0),
        (ops.Mask(np.ones(SHAPE)), 0, 0.002),
        (ops.Mask.random(missing=0.6, dim_shape=SHAPE, seed=0), 0.5, 0.7),
        (ops.Blur.uniform(3, SHAPE), 0, 0.01),
        (ops.Downsample(2, SHAPE), 0, 0.2),
        # Of three colours one direction is left.
        (ops.Grey(SHAPE), 0.5, 0.8),
    ],
    ids=["identity", "whole", "mask", "blur", "downsampling", "grey"],
)
def test_share_of_smooth_images_that_is_hidden(operator, least, most):
    assert least <= surveyed(operator).hidden <= most


def test_the_survey_says_what_the_problem_is():
    seen = surveyed(ops.Identity((3, 8, 8)), sigma=0.1)
    assert (seen.identity, seen.sigma, seen.pixels, seen.complete) == (True, 0.1, 64, False)
    assert not surveyed(ops.Blur.uniform(3, SHAPE)).identity


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
