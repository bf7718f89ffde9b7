import numpy as np
import pytest
from scipy.signal import convolve

from flowsolve import operators as ops
from flowsolve.errors import ArgumentError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [(3, 4), (4, 3), (1, 5), (5, 5), (9, 7)])
def test_it_is_the_valid_convolution(size):
    kernel, x = RNG.standard_normal(size), RNG.standard_normal((2, 3, 9, 7))
    operator = ops.ValidBlur(kernel, (3, 9, 7))
    expected = [[convolve(plane, kernel, mode="valid") for plane in image] for image in x]
    np.testing.assert_allclose(operator(x), expected, atol=1e-12)


@pytest.mark.parametrize("boundary", ["circular", "zero", "reflect", "replicate"])
def test_it_is_the_middle_of_every_blur(boundary):
    kernel, x = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 9, 8))
    operator = ops.ValidBlur(kernel, x.shape)
    rows, columns = operator.frame
    whole = ops.Blur(kernel, x.shape, boundary)(x)
    np.testing.assert_allclose(operator(x), whole[..., rows, columns], atol=1e-12)


def test_a_point_shows_the_kernel_as_it_is():
    """A kernel is the picture of a point: neither flipped nor shifted."""
    kernel = np.arange(12.0).reshape(3, 4)
    x = np.zeros((1, 12, 13))
    x[0, 6, 7] = 1
    for operator in (ops.Blur(kernel, x.shape), ops.ValidBlur(kernel, x.shape)):
        rows, columns = operator.frame or (slice(0, None), slice(0, None))
        top, left = 6 - 3 // 2 - rows.start, 7 - 4 // 2 - columns.start
        np.testing.assert_allclose(operator(x)[0, top : top + 3, left : left + 4], kernel, atol=1e-12)


def test_refusals():
    with pytest.raises(ArgumentError, match="kernel: got size 9 x 3"):
        ops.ValidBlur(np.ones((9, 3)), (3, 8, 8))
    with pytest.raises(ArgumentError, match="one per channel"):
        ops.ValidBlur(np.ones((2, 3, 3)), (3, 8, 8))
