import pytest
import torch

import flowsolve as fs
from flowsolve.errors import UnsupportedError
from flowsolve.objectives.gauss_newton import GaussNewton
from flowsolve.objectives.scaling import level_curvatures, level_scaling
from flowsolve.operators import Blur


@pytest.fixture
def problem(tiny_prior):
    operator = Blur.uniform(3, dim_shape=tiny_prior.image_shape, boundary="circular")
    x = tiny_prior.sample(2, seed=0)
    return fs.InverseProblem(operator, fs.degrade(operator, x, sigma=0.1), sigma=0.1, x_true=x)


def latents(prior, n=2):
    return torch.randn(n, prior.n, dtype=prior.dtype, generator=torch.Generator().manual_seed(0))


def blocks(objective, u):
    """Return the mean of the diagonal of every level's block of the whole Gauss-Newton matrix."""
    model = GaussNewton(objective, u)
    n = u.shape[1]
    columns = [model.matvec(e.expand_as(u).contiguous()) for e in torch.eye(n, dtype=u.dtype)]
    diagonal = torch.stack([c[:, i] for i, c in enumerate(columns)], 1)
    sizes = list(objective.prior.latent_sizes)
    return torch.stack([part.mean(1) for part in diagonal.split(sizes, 1)], 1)


def test_the_estimate_is_unbiased(problem, tiny_prior):
    objective, u = fs.Synthesis(problem, tiny_prior), latents(tiny_prior)
    mean = torch.stack([level_curvatures(objective, u, seed) for seed in range(60)]).mean(0)
    assert torch.allclose(mean, blocks(objective, u).double(), rtol=0.15)


def test_an_image_of_a_batch_is_scaled_as_it_is_alone(problem, tiny_prior):
    objective, u = fs.Synthesis(problem, tiny_prior), latents(tiny_prior)
    both = level_scaling(objective, u)
    for i in range(2):
        alone = level_scaling(objective.select(torch.tensor([i])), u[i : i + 1])
        assert torch.allclose(both[i], alone[0], rtol=1e-9)


def test_levels_bend_alike_in_the_new_units(problem, tiny_prior):
    objective, u = fs.Synthesis(problem, tiny_prior), latents(tiny_prior)
    scale, curvatures = level_scaling(objective, u), level_curvatures(objective, u)
    first = [0, *torch.tensor(tiny_prior.latent_sizes).cumsum(0).tolist()]
    scaled = torch.stack([scale[:, a].double() ** 2 for a in first[:-1]], 1) * curvatures
    assert torch.allclose(scaled, scaled[:, :1].expand_as(scaled), rtol=1e-6)


def test_images_have_no_levels(problem, tiny_prior):
    objective = fs.Analysis(problem, tiny_prior)
    assert level_scaling(objective, problem.x_true) is None
    with pytest.raises(UnsupportedError, match="Analysis is not over latents"):
        level_curvatures(objective, problem.x_true)
