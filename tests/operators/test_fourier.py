"""Subsampled Fourier transforms."""

import numpy as np
import pytest

from flowsolve.operators import Fourier


def test_is_the_orthonormal_transform(rng):
    x = rng.standard_normal((2, 3, 5, 6))
    y = Fourier(np.ones((5, 6)), (3, 5, 6))(x)
    np.testing.assert_allclose(y[..., 0] + 1j * y[..., 1], np.fft.fft2(x, norm="ortho"), atol=1e-13)
    assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(x))


def test_unmeasured_frequencies_are_zero(rng):
    op = Fourier({"lines": {"acceleration": 4}}, (1, 8, 16))
    y = op(rng.standard_normal((1, 8, 16)))
    assert (y[:, :, op.mask[0, 0] == 0] == 0).all()
    assert np.broadcast_to(op.support, y.shape).sum() == 2 * 8 * 4


def test_lines_are_whole_columns_with_the_middle():
    mask = Fourier({"lines": {"acceleration": 4, "centre": 0.1, "seed": 2}}, (1, 16, 40)).mask[0]
    assert (mask == mask[:1]).all() and mask[0].sum() == 10
    assert mask[0, [0, 1, -1, -2]].all()
    other = Fourier({"lines": {"acceleration": 4, "centre": 0.1, "seed": 3}}, (1, 16, 40)).mask[0]
    assert not np.array_equal(mask, other)


def test_points_keep_the_zero_frequency_and_depend_on_the_image():
    recipe = {"points": {"acceleration": 5, "n_images": 3}}
    masks = Fourier(recipe, (1, 10, 10)).mask
    assert masks.shape == (3, 1, 10, 10) and masks.sum((1, 2, 3)).tolist() == [20, 20, 20]
    assert masks[:, 0, 0, 0].all() and not np.array_equal(masks[0], masks[1])
    fewer = Fourier({"points": {"acceleration": 5, "n_images": 2}}, (1, 10, 10)).mask
    np.testing.assert_array_equal(fewer, masks[:2])


def test_a_frequency_or_its_opposite_is_enough(rng):
    # Half of the plane determines a real image.
    keep = np.zeros((6, 7))
    keep[:, :4] = 1
    op = Fourier(keep, (1, 6, 7))
    x = rng.standard_normal((1, 6, 7))
    np.testing.assert_allclose(op.pinv(op(x)), x, atol=1e-12)


def test_norm_counts_a_frequency_with_its_opposite():
    weights = np.zeros((4, 4))
    weights[1, 1] = 1.0
    op = Fourier(weights, (1, 4, 4))
    assert op.lipschitz == pytest.approx(np.sqrt(0.5))
    assert np.linalg.norm(op.to_dense(), 2) == pytest.approx(np.sqrt(0.5))
