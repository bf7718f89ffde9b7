"""What masks and gains share."""

import numpy as np
import pytest

from flowsolve.operators import Mask, Scaling
from flowsolve.operators.diagonal import Diagonal


@pytest.mark.parametrize("cls", [Mask, Scaling])
def test_gram_is_the_square_of_the_weights(cls, rng):
    weights, x = rng.random((2, 4, 5)) + 0.1, rng.standard_normal((3, 2, 4, 5))
    op = cls(weights)
    assert isinstance(op, Diagonal) and op.has_closed_form
    np.testing.assert_array_equal(op.gram()(x), x * weights**2)
    assert op.lipschitz == weights.max() and op.lipschitz_kind == "exact"
