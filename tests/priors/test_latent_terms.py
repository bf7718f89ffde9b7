import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from flowsolve.errors import ArgumentError
from flowsolve.priors.terms import of_latents

SIZES = [18, 10]


def latents(n=4, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, 28, generator=generator, dtype=torch.float64)


def test_typical_is_the_normal_limit_of_the_chi_square_density_of_each_level():
    z = latents()
    levels = z.split(SIZES, 1)
    expected = sum((part.square().sum(1) - n) ** 2 / (2 * n) for part, n in zip(levels, SIZES, strict=True))
    torch.testing.assert_close(of_latents("typical").value(z, SIZES), expected)
    # Twice the negative log-density of N(n, 2n), a constant apart.
    normal = [torch.distributions.Normal(float(n), math.sqrt(2 * n)) for n in SIZES]
    density = sum(d.log_prob(part.square().sum(1)) for d, part in zip(normal, levels, strict=True))
    difference = of_latents("typical").value(z, SIZES) + 2 * density
    torch.testing.assert_close(difference, difference[:1].expand(4))


def test_typical_is_least_where_each_level_has_its_expected_norm():
    z = latents()
    typical = torch.cat(
        [
            math.sqrt(n) * p / p.norm(dim=1, keepdim=True)
            for p, n in zip(z.split(SIZES, 1), SIZES, strict=True)
        ],
        1,
    )
    torch.testing.assert_close(
        of_latents("typical").value(typical, SIZES), torch.zeros(4, dtype=torch.float64), atol=1e-20, rtol=0
    )
    assert (of_latents("typical").value(torch.zeros(1, 28), SIZES) == 14).all()
    # Noise in one level does not stand for what is missing in another.
    uneven = torch.cat([z[:, :18] * 0, z[:, 18:] * math.sqrt(28) / z[:, 18:].norm(dim=1, keepdim=True)], 1)
    assert (of_latents("typical").value(uneven, SIZES) > 9).all()


@pytest.mark.parametrize("phi", ["latent", "nll", "typical"])
def test_gradients_are_autograds(phi):
    z = latents().requires_grad_()
    (expected,) = torch.autograd.grad(of_latents(phi).value(z, SIZES).sum(), z)
    torch.testing.assert_close(of_latents(phi).grad(z.detach(), SIZES), expected)


@pytest.mark.parametrize("phi", ["latent", "typical"])
@pytest.mark.parametrize("tau", [0.0, 0.03, 0.5, 20.0])
@pytest.mark.parametrize("scale", [0.2, 1.0, 6.0])
def test_prox_is_the_minimiser(phi, tau, scale):
    v = latents(scale=scale)
    z = of_latents(phi).prox(v, SIZES, torch.full((4,), tau, dtype=torch.float64))
    slope = tau * of_latents(phi).grad(z, SIZES) + z - v
    torch.testing.assert_close(slope, torch.zeros_like(v), rtol=0, atol=1e-9 * scale)
    if phi == "typical":
        # Along the level's own direction, which the minimiser keeps, no other length does better.
        r = float(v[0, :18].norm())
        best = minimize_scalar(
            lambda t: tau * (t**2 - 18) ** 2 / 36 + (t - r) ** 2 / 2,
            bounds=(0, 40),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert float(z[0, :18].norm()) == pytest.approx(best.x, abs=1e-5)


def test_the_prior_has_the_energy_too_and_refuses_others(tiny_prior):
    z = 0.5 * torch.randn(2, tiny_prior.n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x, psi = tiny_prior.latent_energy(z, "typical")
    torch.testing.assert_close(tiny_prior.energy(x, "typical"), psi, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(psi, of_latents("typical").value(z, tiny_prior.latent_sizes))
    with pytest.raises(ArgumentError, match="phi: got 'typicle'; accepted: 'latent' or 'nll' or 'typical'"):
        tiny_prior.energy(x, "typicle")
