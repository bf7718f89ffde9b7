import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError
from flowsolve.functionals import Box


@pytest.mark.parametrize(
    "operator",
    [
        ops.Mask.box(3, dim_shape=(3, 8, 8)),
        ops.Downsample(2, dim_shape=(3, 8, 8)),
        ops.Blur.gaussian(0.7, dim_shape=(3, 8, 8)),
    ],
    ids=["mask", "downsample", "blur"],
)
def test_every_variable_is_feasible_under_the_hard_constraint(operator, tiny_prior):
    objective = fs.Analysis(make_problem(operator, sigma=0), tiny_prior)
    assert objective.constrained and objective.lam is None
    u = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = objective.image(u)
    torch.testing.assert_close(operator.apply(x), objective.problem.y, rtol=0, atol=1e-10)
    torch.testing.assert_close(objective.value(u), tiny_prior.energy(x, "nll"))
    _, grad = objective.value_and_grad(u)
    assert operator.apply(grad).abs().max() < 1e-10 * (1 + grad.abs().max())


def test_a_number_for_lam_keeps_sigma_zero_a_penalty(tiny_prior):
    objective = fs.Analysis(make_problem(sigma=0), tiny_prior, lam=1e-3)
    assert not objective.constrained and objective.lam == 1e-3


def test_hard_constraint_without_closed_form_says_what_would_do(tiny_prior):
    operator = ops.Blur.motion(3, 30, dim_shape=(3, 8, 8), boundary="zero")
    with pytest.raises(
        UnsupportedError, match=r"closed-form pseudo-inverse.*give sigma > 0 or a number for lam"
    ):
        fs.Analysis(make_problem(operator, sigma=0), tiny_prior)


def test_hard_constraint_with_an_extra_term_says_what_would_do(tiny_prior):
    objective = fs.Analysis(make_problem(sigma=0), tiny_prior, extra=Box(0, 1))
    with pytest.raises(UnsupportedError, match="number for lam"):
        objective.split()


def test_prior_split_is_not_preferred_without_a_closed_form_prox(tiny_prior):
    operator = ops.Blur.motion(3, 30, dim_shape=(3, 8, 8), boundary="reflect")
    assert list(fs.Analysis(make_problem(operator), tiny_prior).splits())[:2] == ["data", "prior"]


def test_starts_are_copied_not_shared(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    x = make_images()
    u = objective.from_image(x)
    u += 1
    torch.testing.assert_close(x, make_images())
    torch.testing.assert_close(objective.latent(x), tiny_prior.encode(x))
