"""Blur that changes over the image."""

import numpy as np
import pytest

from flowsolve.operators import Blur, VaryingBlur

SHAPE = (2, 8, 12)
NARROW, WIDE = {"uniform": {"size": 1}}, {"gaussian": {"std": 1.0, "size": 5}}


def test_one_kernel_everywhere_is_blur(rng):
    x = rng.standard_normal((3, *SHAPE))
    op = VaryingBlur([WIDE], SHAPE, {"grid": {"rows": 1, "columns": 1}})
    np.testing.assert_allclose(op(x), Blur(WIDE, SHAPE, "reflect")(x), atol=1e-13)


def test_each_place_has_its_kernel(rng):
    x = rng.standard_normal(SHAPE)
    y = VaryingBlur([NARROW, WIDE], SHAPE, {"grid": {"rows": 1, "columns": 2}})(x)
    np.testing.assert_allclose(y[..., :3], x[..., :3], atol=1e-13)
    np.testing.assert_allclose(y[..., -3:], Blur(WIDE, SHAPE, "reflect")(x)[..., -3:], atol=1e-13)
    middle = y[..., 5:7] - x[..., 5:7]
    assert np.abs(middle).max() > 1e-3


def test_grid_weights_sum_to_one():
    op = VaryingBlur([WIDE] * 6, SHAPE, {"grid": {"rows": 2, "columns": 3}})
    assert op.weights.shape == (6, 8, 12) and (op.weights >= 0).all()
    np.testing.assert_allclose(op.weights.sum(0), 1.0)
    np.testing.assert_allclose(op(np.ones(SHAPE)), 1.0)


def test_bound_on_the_norm_is_near():
    op = VaryingBlur([NARROW, WIDE], (1, 8, 8), {"grid": {"rows": 2, "columns": 1}})
    norm = np.linalg.norm(op.to_dense(), 2)
    assert norm <= op.lipschitz <= 1.01 * norm and op.lipschitz_kind == "bound"
    assert op.lipschitz == pytest.approx(
        VaryingBlur([NARROW, WIDE], (3, 8, 8), op.weights).lipschitz, rel=1e-9
    )
