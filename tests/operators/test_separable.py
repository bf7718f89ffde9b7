"""Closed forms of operators that treat rows and columns apart."""

import pickle

import numpy as np
import pytest

from flowsolve.operators import Resize, SeparableBlur


def test_factors_multiply_to_the_matrix():
    op = Resize((2, 0.5), (1, 6, 3))
    rows, columns = op.axis_matrices()
    np.testing.assert_allclose(op.to_dense(), np.kron(rows, columns), atol=1e-14)
    factors = op.factors()
    left = np.kron(factors.left[0].host[:, :3], factors.left[1].host[:, :3])
    right = np.kron(factors.right[0].host, factors.right[1].host)
    np.testing.assert_allclose((left * factors.singular.host.ravel()) @ right.T, op.to_dense(), atol=1e-13)


def test_factors_are_not_pickled():
    op = SeparableBlur([1.0, 2.0], [1.0], (1, 5, 4))
    assert op.lipschitz == pytest.approx(np.linalg.norm(op.to_dense(), 2))
    again = pickle.loads(pickle.dumps(op))
    assert op._factors is not None and again._factors is None
    assert again.lipschitz == op.lipschitz
