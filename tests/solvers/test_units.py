import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from flowsolve.solvers.units import Units, root_spectrum

IMAGES = torch.randn(2, 3, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_spectral_units_weigh_the_cosine_transform():
    units = Units(root_spectrum(IMAGES), spectral=True)
    weights = units.weights.reshape(3, 6, 9).numpy()
    transformed = dctn(IMAGES.numpy(), axes=(-2, -1), norm="ortho")
    expected = idctn(transformed * weights, axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(units.apply(IMAGES).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("spectral", [True, False])
def test_units_are_symmetric_and_inverted(spectral):
    units = Units(root_spectrum(IMAGES), spectral)
    torch.testing.assert_close(units.inverse(units.apply(IMAGES)), IMAGES)
    other = IMAGES.flip(0)
    torch.testing.assert_close((units.apply(IMAGES) * other).sum(), (IMAGES * units.apply(other)).sum())


def test_the_mean_keeps_its_unit_and_fine_detail_gets_a_smaller_one():
    weights = root_spectrum(IMAGES).reshape(3, 6, 9)
    assert (weights[:, 0, 0] == 1).all()
    assert weights[0, 3, 4] == pytest.approx(1 / np.sqrt(1 + 5))
