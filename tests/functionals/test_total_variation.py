import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from flowsolve.errors import ArgumentError
from flowsolve.functionals import TotalVariation
from flowsolve.functionals.total_variation import divergence, gradient


def noisy(n=2, size=12):
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(n, 3, size, size, dtype=torch.float64)
    x[..., size // 2 :] = 1
    return x + 0.2 * torch.randn(x.shape, generator=generator, dtype=torch.float64)


def test_divergence_is_minus_the_adjoint_of_gradient():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 5, 7, generator=generator, dtype=torch.float64)
    field = torch.randn(2, 2, 3, 5, 7, generator=generator, dtype=torch.float64)
    left, right = (gradient(x) * field).sum(), -(x * divergence(field)).sum()
    assert abs(left - right) < 1e-12 * abs(left)


@pytest.mark.parametrize("coupled", [True, False])
def test_prox_minimises(coupled):
    v, tau = noisy(), torch.tensor([0.5, 2.0], dtype=torch.float64)
    functional = TotalVariation(0.3, coupled=coupled, iterations=2000)

    def total(x):
        return functional.value(x) + (x - v).square().flatten(1).sum(1) / (2 * tau)

    x = functional.prox(v, tau)
    generator = torch.Generator().manual_seed(2)
    for scale in (1e-1, 1e-2, 1e-3):
        other = x + scale * torch.randn(x.shape, generator=generator, dtype=torch.float64)
        assert (total(x) < total(other)).all()
    assert (total(x) < total(v)).all()


def test_prox_agrees_with_scikit_image_on_one_channel():
    v = noisy()[:1, :1]
    ours = TotalVariation(0.1, iterations=3000).prox(v, torch.ones(1, dtype=torch.float64))[0, 0].numpy()
    theirs = denoise_tv_chambolle(v[0, 0].numpy(), weight=0.1, eps=1e-12, max_num_iter=20000)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_constant_has_no_variation_and_does_not_move():
    x = torch.full((1, 3, 4, 4), 0.3, dtype=torch.float64)
    functional = TotalVariation(1.0)
    assert functional.value(x).item() == 0
    torch.testing.assert_close(functional.prox(x, torch.ones(1)), x)
    torch.testing.assert_close(TotalVariation(0).prox(noisy(), torch.ones(2)), noisy())


def test_bad_options_are_named():
    with pytest.raises(ArgumentError, match="weight"):
        TotalVariation(-1)
    with pytest.raises(ArgumentError, match="iterations"):
        TotalVariation(1, iterations=0)
