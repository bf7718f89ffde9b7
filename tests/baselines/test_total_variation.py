import numpy as np
import pytest
import torch
from helpers import make_problem
from skimage.restoration import denoise_tv_chambolle

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import total_variation
from flowsolve.baselines.total_variation import _by_dual, _by_prox
from flowsolve.functionals.total_variation import TotalVariation


def test_denoising_has_the_objective_of_scikit_images_or_less():
    problem = make_problem(ops.Identity((3, 8, 8)), sigma=0.1)
    functional = TotalVariation(0.1)

    def objective(x):
        return functional.value(x) + 0.5 * (x - problem.y).square().flatten(1).sum(1)

    theirs = [
        denoise_tv_chambolle(y, 0.1, eps=1e-8, max_num_iter=2000, channel_axis=0) for y in problem.y.numpy()
    ]
    ours = objective(total_variation(problem, weight=0.1))
    assert (ours <= objective(torch.as_tensor(np.stack(theirs))) + 1e-3).all()


def test_without_noise_the_measurements_are_kept():
    problem = make_problem(sigma=0)
    x = total_variation(problem)
    torch.testing.assert_close(problem.operator.apply(x), problem.y)
    assert fs.psnr(x, problem.x_true).min() > fs.psnr(problem.y, problem.x_true).max()


def test_improves_on_a_blurred_image():
    problem = make_problem(ops.Blur.uniform(3, (3, 8, 8)), sigma=0.01)
    assert (fs.psnr(total_variation(problem), problem.x_true) > fs.psnr(problem.y, problem.x_true)).all()


@pytest.mark.parametrize("sigma", [0.0, 0.05])
@pytest.mark.parametrize(
    "operator",
    [ops.Blur.uniform(3, (3, 8, 8)), ops.Mask.random(0.4, dim_shape=(3, 8, 8)), ops.Gradient((3, 8, 8))],
    ids=lambda operator: type(operator).__name__,
)
def test_products_with_the_operator_alone_lead_to_the_minimiser_of_the_closed_form(operator, sigma):
    problem = make_problem(operator, sigma=sigma)
    expected = _by_prox(problem, sigma**2 / 0.1, 2000)
    # What a blur has all but lost comes back slowly where nothing but the measurements holds it.
    close = 1e-3 if sigma else 5e-3
    torch.testing.assert_close(_by_dual(problem, sigma**2 / 0.1, 2000), expected, rtol=0, atol=close)


def test_without_a_closed_form_no_system_is_solved(monkeypatch):
    blur = ops.Blur(np.random.default_rng(0).random((3, 3)) / 4.5, (3, 8, 8), "reflect")
    assert not blur.has_closed_form
    problem = make_problem(blur, sigma=0.01)
    monkeypatch.setattr(type(blur), "prox_l2", lambda *given, **options: pytest.fail("a system was solved"))
    x = total_variation(problem)
    assert (fs.psnr(x, problem.x_true) > fs.psnr(problem.y, problem.x_true)).all()
