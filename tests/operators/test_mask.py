"""Masks: counts, places, seeds, one per image."""

import numpy as np
import pytest
import torch

from flowsolve.operators import Mask


def test_random_keeps_the_papers_number_of_pixels():
    op = Mask.random(0.6, dim_shape=(3, 64, 64))
    assert op.mask.sum() == 1638
    assert set(np.unique(op.mask)) == {0.0, 1.0}
    channels = op(np.ones((3, 64, 64)))
    np.testing.assert_array_equal(channels[0], channels[2])


def test_image_i_depends_on_seed_and_i_alone():
    few, many = (Mask.random(0.5, dim_shape=(1, 9, 8), seed=3, n_images=n) for n in (2, 5))
    np.testing.assert_array_equal(few.mask, many.mask[:2])
    np.testing.assert_array_equal(Mask.random(0.5, dim_shape=(1, 9, 8), seed=3).mask, many.mask[0])
    assert not np.array_equal(many.mask[0], many.mask[1])
    assert not np.array_equal(few.mask, Mask.random(0.5, dim_shape=(1, 9, 8), seed=4, n_images=2).mask)
    assert few.mask.sum(axis=(1, 2, 3)).tolist() == [36.0, 36.0]


def test_box_is_the_papers_hole():
    mask = Mask.box(21, dim_shape=(3, 64, 64)).mask[0]
    rows, columns = np.nonzero(mask == 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (21, 41, 21, 41)
    assert (mask == 0).sum() == 21 * 21
    assert (Mask.box((2, 5), dim_shape=(1, 9, 9)).mask == 0).sum() == 10


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5), (3, 1, 1), (1, 5)], ids=str)
def test_shared_masks_broadcast(shape, rng):
    mask, x = rng.standard_normal(shape), rng.standard_normal((2, 3, 4, 5))
    op = Mask(mask, (3, 4, 5))
    assert op.n_images is None
    np.testing.assert_array_equal(op(x), x * mask)


def test_dim_shape_from_the_mask(rng):
    assert Mask(rng.random((3, 4, 5))).dim_shape == (3, 4, 5)
    per_image = Mask(rng.random((2, 1, 4, 5)) + 1)
    assert per_image.dim_shape == (1, 4, 5) and per_image.n_images == 2


def test_booleans_and_tensors_are_masks():
    mask = torch.tensor([[True, False], [True, True]])
    np.testing.assert_array_equal(Mask(mask, (1, 2, 2))(np.ones((1, 2, 2)))[0], [[1, 0], [1, 1]])
    np.testing.assert_array_equal(Mask([[0, 3]], (1, 1, 2))(np.ones((1, 1, 2))), [[[0, 3]]])


def test_pinv_divides_and_leaves_holes():
    op = Mask(np.array([[2.0, 0.0, -0.5]]), (1, 1, 3))
    np.testing.assert_allclose(op.pinv(np.array([[[2.0, 7.0, 1.0]]])), [[[1.0, 0.0, -2.0]]])
    np.testing.assert_allclose(op.project_nullspace(np.ones((1, 1, 3))), [[[0.0, 1.0, 0.0]]])
    assert op.lipschitz == 2.0 and op.lipschitz_kind == "exact"


def test_pinv_of_one_image_does_not_depend_on_the_others():
    weights = np.array([1e-20, 1.0]).reshape(2, 1, 1, 1) * np.ones((2, 1, 2, 2))
    found = Mask(weights).pinv(np.ones((2, 1, 2, 2)))
    np.testing.assert_allclose(found, 1 / weights)


def test_select_keeps_a_short_config():
    op = Mask.random(0.5, dim_shape=(3, 8, 8), seed=1, n_images=6)
    part = op.select([4, 1]).select(np.array([1]))
    np.testing.assert_array_equal(part.mask, op.mask[[1]])
    assert part.config()["mask"] == {"random": {"missing": 0.5, "seed": 1, "n_images": None, "images": [1]}}
    weights = np.arange(1.0, 9.0).reshape(2, 1, 2, 2)
    np.testing.assert_array_equal(Mask(weights).select(torch.tensor([1])).mask, weights[1:])
