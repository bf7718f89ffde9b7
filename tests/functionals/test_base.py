import pytest
import torch

from flowsolve.functionals import Box, Functional, TotalVariation


@pytest.mark.parametrize(
    "functional", [Box(0, 1), TotalVariation(0.4, iterations=500)], ids=lambda f: type(f).__name__
)
def test_prox_is_firmly_nonexpansive_and_per_image(functional):
    generator = torch.Generator().manual_seed(0)
    v, w = (torch.randn(2, 3, 6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    tau = torch.tensor([0.3, 1.0], dtype=torch.float64)
    p, q = functional.prox(v, tau), functional.prox(w, tau)
    moved = ((p - q) * (v - w)).flatten(1).sum(1)
    assert ((p - q).square().flatten(1).sum(1) <= moved + 1e-6).all()
    torch.testing.assert_close(functional.prox(v[1:], tau[1:]), p[1:])
    assert isinstance(functional, Functional) and functional.config()["name"]
