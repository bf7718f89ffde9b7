import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError
from flowsolve.functionals import Box
from flowsolve.objectives.synthesis import NOISELESS_LAM


def test_without_noise_the_measured_values_are_put_back(tiny_prior):
    problem = make_problem(sigma=0)
    objective = fs.Synthesis(problem, tiny_prior)
    assert objective.lam == NOISELESS_LAM and objective.projects
    z = torch.zeros(3, tiny_prior.n, dtype=torch.float64)
    torch.testing.assert_close(problem.operator.apply(objective.image(z)), problem.y)
    torch.testing.assert_close(objective.evaluate(z).image, objective.image(z))


def test_a_number_for_lam_or_noise_leaves_the_decoded_image_alone(tiny_prior):
    z = torch.zeros(3, tiny_prior.n, dtype=torch.float64)
    for objective in (
        fs.Synthesis(make_problem(sigma=0), tiny_prior, lam=1e-4),
        fs.Synthesis(make_problem(sigma=0.1), tiny_prior),
    ):
        assert not objective.projects
        torch.testing.assert_close(objective.image(z), tiny_prior.decode(z))


def test_without_closed_form_nothing_is_put_back(tiny_prior):
    operator = ops.Blur.motion(3, 30, dim_shape=(3, 8, 8), boundary="zero")
    assert not fs.Synthesis(make_problem(operator, sigma=0), tiny_prior).projects


def test_image_starts_are_encoded(tiny_prior, problem):
    objective = fs.Synthesis(problem, tiny_prior)
    x = make_images()
    torch.testing.assert_close(objective.image(objective.from_image(x)), x, rtol=0, atol=1e-10)


def test_extra_terms_are_refused(tiny_prior, problem):
    with pytest.raises(UnsupportedError, match="extra: only the analysis objective"):
        fs.Synthesis(problem, tiny_prior, extra=Box(0, 1))
