"""Separable blur beside the blur with the outer product as its kernel."""

import numpy as np
import pytest

from flowsolve.operators import Blur, SeparableBlur
from flowsolve.operators.boundaries import BOUNDARIES

ROWS, COLUMNS = [0.2, -1.0, 0.5, 0.1], [0.3, 0.7, -0.1]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_is_blur_with_the_outer_product(boundary, rng):
    x = rng.standard_normal((2, 3, 7, 8))
    expected = Blur(np.outer(ROWS, COLUMNS), (3, 7, 8), boundary)
    found = SeparableBlur(ROWS, COLUMNS, (3, 7, 8), boundary)
    np.testing.assert_allclose(found(x), expected(x), atol=1e-13)
    np.testing.assert_allclose(found.adjoint(x), expected.adjoint(x), atol=1e-13)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_prox_needs_no_iteration(boundary, rng):
    op = SeparableBlur(ROWS, COLUMNS, (1, 6, 5), boundary)
    v, y = rng.standard_normal((2, 2, 1, 6, 5))
    found = op.prox_l2(v, y, 50.0, max_iter=1)
    expected = Blur(np.outer(ROWS, COLUMNS), (1, 6, 5), boundary).prox_l2(
        v, y, 50.0, max_iter=2000, tol=1e-13
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # The norm is exact, where Blur has a bound.
    assert op.lipschitz == pytest.approx(np.linalg.norm(op.to_dense(), 2), rel=1e-12)


def test_the_papers_blur_inverts_in_closed_form(rng):
    box = np.full(7, 1 / 7)
    op = SeparableBlur(box, box, (3, 64, 64), "zero")
    x = rng.random((3, 64, 64))
    np.testing.assert_allclose(op.pinv(op(x)), x, atol=1e-9)
