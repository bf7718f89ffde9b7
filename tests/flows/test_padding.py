import numpy as np
import pytest
import torch

from flowsolve.flows import Energy, FlowPrior
from flowsolve.flows.padding import crop, padded_size, reflect


def test_the_next_multiples():
    assert padded_size((481, 321), 16) == (496, 336)
    assert padded_size((64, 48), 16) == (64, 48)


@pytest.mark.parametrize("size", [(5, 7), (2, 3), (1, 4), (8, 8)])
def test_reflection_is_numpys(size):
    x = torch.rand(2, 3, *size)
    ours = reflect(x, (8, 16))
    pad = [(0, 0), (0, 0), (0, 8 - size[0]), (0, 16 - size[1])]
    assert np.array_equal(ours.numpy(), np.pad(x.numpy(), pad, mode="reflect"))
    assert torch.equal(crop(ours, size), x)


def test_nothing_to_add_is_no_copy():
    x = torch.rand(1, 3, 8, 8)
    assert reflect(x, (8, 8)) is x


@pytest.fixture
def any_size(make_glow):
    return FlowPrior(make_glow(size=None), dtype=torch.float64)


def test_images_of_any_size_come_back(any_size):
    prior = any_size.at_size(7, 10)
    x = torch.rand(3, *prior.image_shape, dtype=torch.float64)
    z = prior.encode(x)
    assert z.shape == (3, prior.n) and prior.n > x[0].numel()
    assert torch.allclose(prior.decode(z), x, atol=1e-9)
    assert prior.sample(2, seed=0).shape == (2, *prior.image_shape)


def test_the_energy_is_that_of_the_reflected_image(any_size):
    prior, larger = any_size.at_size(7, 10), any_size.at_size(8, 12)
    x = torch.rand(2, *prior.image_shape, dtype=torch.float64)
    for phi in ("latent", "nll", "typical"):
        assert torch.equal(prior.energy(x, phi), larger.energy(reflect(x, (8, 12)), phi))
    assert torch.equal(any_size.energy(x), prior.energy(x))


def test_the_gradient_counts_reflected_pixels(any_size):
    prior = any_size.at_size(7, 10)
    x = torch.rand(1, *prior.image_shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: prior.energy(a), x.requires_grad_(True), fast_mode=True)


def test_curvature_products_take_images_of_any_size(any_size):
    x = torch.rand(2, 2, 7, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    v = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    product = Energy(any_size, "typical").gauss_newton_vector(x, v)
    larger = Energy(any_size.at_size(8, 12), "typical")
    # <v, G v> is that of the reflected image along the reflected direction.
    expected = (
        reflect(v, (8, 12)) * larger.gauss_newton_vector(reflect(x, (8, 12)), reflect(v, (8, 12)))
    ).sum((1, 2, 3))
    torch.testing.assert_close((v * product).sum((1, 2, 3)), expected)
