"""Finite differences, beside those of the total variation functional."""

import numpy as np
import pytest
import torch

from flowsolve.functionals.total_variation import gradient
from flowsolve.operators import Gradient


def test_is_the_gradient_of_total_variation(rng):
    x = torch.from_numpy(rng.standard_normal((2, 3, 5, 6)))
    torch.testing.assert_close(Gradient((3, 5, 6))(x), gradient(x).movedim(0, 1))


def test_circular_differences_wrap(rng):
    x = rng.standard_normal((2, 4, 5))
    y = Gradient((2, 4, 5), "circular")(x)
    np.testing.assert_allclose(y[0, :, -1], x[:, 0] - x[:, -1])
    np.testing.assert_allclose(y[1, ..., -1], x[..., 0] - x[..., -1])


@pytest.mark.parametrize("boundary", ["replicate", "circular"])
def test_norm_of_odd_and_even_sizes(boundary):
    for size in ((4, 5), (1, 6), (3, 1), (7, 7)):
        op = Gradient((1, *size), boundary)
        assert op.lipschitz == pytest.approx(np.linalg.norm(op.to_dense(), 2), rel=1e-12)
        assert op.lipschitz <= np.sqrt(8)


def test_pinv_integrates(rng):
    op = Gradient((1, 6, 7))
    x = rng.standard_normal((1, 6, 7))
    np.testing.assert_allclose(op.pinv(op(x)), x - x.mean(), atol=1e-12)
