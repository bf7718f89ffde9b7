"""Weights of least squares."""

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.fidelities import LeastSquares, WeightedLeastSquares


def test_weights_of_one_change_nothing():
    u, y = np.random.default_rng(0).random((2, 3, 4, 5))
    plain, weighted = LeastSquares(), WeightedLeastSquares(np.ones((4, 5)))
    np.testing.assert_array_equal(plain.value(u, y), weighted.value(u, y))
    np.testing.assert_allclose(plain.prox(u, y, 0.3), weighted.prox(u, y, 0.3))


def test_a_weight_of_zero_ignores_the_value():
    weights = np.array([1.0, 0.0])
    u, y = np.array([[1.0, 5.0]]), np.array([[0.0, 0.0]])
    assert WeightedLeastSquares(weights).value(u, y).tolist() == [0.5]
    assert WeightedLeastSquares(weights).prox(u, y, 1.0).tolist() == [[0.5, 5.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WeightedLeastSquares([1.0, -1.0]), "weights: got a weight of -1; accepted: numbers >= 0"),
        (lambda: WeightedLeastSquares([0.0]), "weights: got zeros only"),
        (lambda: WeightedLeastSquares([np.nan]), r"weights: got 1 non-finite value\(s\)"),
        (lambda: WeightedLeastSquares(1.0, per_image=True), "weights: got one number"),
        (
            lambda: WeightedLeastSquares(np.ones((3, 2))).value(np.ones((3, 2)), np.ones((3, 2))),
            r"weights: got shape \(3, 2\); accepted: a shape that broadcasts to \(2,\)",
        ),
        (
            lambda: WeightedLeastSquares(np.ones((3, 2)), True).value(np.ones((4, 2)), np.ones((4, 2))),
            r"weights: got shape \(3, 2\); accepted: a shape that broadcasts to \(4, 2\)",
        ),
    ],
)
def test_bad_weights(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
