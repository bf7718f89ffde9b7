"""Shrinking a failing case."""

import numpy as np

from flowsolve.operators import LinearOperator
from flowsolve.operators.conformance_shrink import Bilinear, smallest_pair, smallest_shape


class Faulty(LinearOperator):
    """The identity whose adjoint forgets one pixel."""

    def __init__(self, dim_shape, pixel=(1, 2)):
        super().__init__(dim_shape, dim_shape)
        self.pixel = pixel

    def _apply(self, x):
        return x * 1.0

    def _adjoint(self, y):
        x = y * 1.0
        x[(..., *self.pixel)] *= 0.0
        return x


def find(op, batch=()):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, *batch, *op.dim_shape))
    return smallest_pair(Bilinear(op, np.copy), x, y, 1e-12)


def test_the_pixel_is_found():
    assert find(Faulty((1, 4, 5))) == (
        "x = 0 but 1 at (0, 1, 2) of shape (1, 4, 5), y = 0 but 1 at (0, 1, 2) of shape (1, 4, 5): "
        "<Ax, y> = 1, <x, A^T y> = 0"
    )
    assert "1 at (0, 0, 1, 2) of shape (2, 1, 4, 5)" in find(Faulty((1, 4, 5)), (2,))


class Crowded(LinearOperator):
    """The identity, but twice that where more than three pixels are not 0."""

    def _apply(self, x):
        return x * (2.0 if np.count_nonzero(x) > 3 else 1.0)

    def _adjoint(self, y):
        return y * 1.0


def test_what_is_not_linear_stops_early():
    assert find(Crowded((1, 2, 5), (1, 2, 5))) == "an image with 5 and a measurement with 1 numbers not 0"


def test_the_smallest_shape_still_has_the_pixel():
    def fails(op):
        return "x = 0" in find(op)

    assert smallest_shape(Faulty, (3, 40, 70), fails) == (1, 2, 3)
    assert smallest_shape(Faulty, (1, 2, 3), fails) == (1, 2, 3)
