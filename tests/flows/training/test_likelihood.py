import math

import pytest
import torch

from flowsolve.flows import Glow, GlowConfig
from flowsolve.flows.training.likelihood import BitsPerDim, bits_per_dim


@pytest.mark.parametrize("coupling", ["additive", "affine"])
@pytest.mark.parametrize("split_prior", ["conditional", "standard"])
def test_value_and_gradient_are_those_of_the_network(make_tiny, coupling, split_prior):
    glow = make_tiny(coupling, split_prior).double()
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parameters = list(glow.parameters())
    expected = bits_per_dim(glow.log_prob(x), 192, 8)
    bits = BitsPerDim(glow, 8)(x)
    torch.testing.assert_close(bits, expected, rtol=1e-10, atol=1e-10)
    for one, other in zip(
        torch.autograd.grad(bits.sum(), parameters, allow_unused=True),
        torch.autograd.grad(expected.sum(), parameters, allow_unused=True),
        strict=True,
    ):
        if one is None or other is None:
            assert one is None and other is None
        else:
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "fields",
    [
        {"border": 1, "last_steps": 1},
        {"changed": "first", "shift": "after", "scale_offset": 0.1, "split_prior": "standard"},
    ],
)
def test_variants_of_other_programs_have_the_same_value(fields):
    config = GlowConfig(levels=2, steps=2, hidden=4, coupling="affine", **fields)
    glow, generator = Glow(config).double(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=generator)
    expected = bits_per_dim(glow.log_prob(x), 192, 8)
    torch.testing.assert_close(BitsPerDim(glow, 8)(x), expected, rtol=1e-10, atol=1e-10)


def test_bfloat16_stays_close(make_tiny):
    glow = make_tiny("affine")
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact, short = BitsPerDim(glow, 8)(x), BitsPerDim(glow, 8, bf16=True)(x)
    assert short.dtype == torch.float32
    assert 0 < float((exact - short).abs().max()) < 0.05


def test_uniform_density_costs_all_bits():
    assert float(bits_per_dim(torch.zeros(()), 192, 5)) == 5
    assert float(bits_per_dim(torch.tensor(192 * math.log(2)), 192, 5)) == pytest.approx(4)
