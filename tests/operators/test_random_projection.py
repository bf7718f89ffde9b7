"""Gaussian random projections."""

import numpy as np
import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.operators import RandomProjection, random_projection

SHAPE = (1, 10, 20)


def test_entries_have_the_variance_asked_for():
    assert RandomProjection(100, SHAPE).to_dense().std() == pytest.approx(0.1, rel=0.02)
    assert RandomProjection(100, SHAPE, variance=4.0).to_dense().std() == pytest.approx(2.0, rel=0.02)
    assert abs(RandomProjection(100, SHAPE).to_dense().mean()) < 2e-3


def test_the_matrix_depends_on_the_seed_alone():
    one, two = RandomProjection(6, SHAPE, seed=1), RandomProjection(6, SHAPE, seed=2)
    np.testing.assert_array_equal(one.to_dense(), RandomProjection(6, SHAPE, seed=1, keep=True).to_dense())
    assert not np.allclose(one.to_dense(), two.to_dense())
    # Pinned, since a change of generator would silently change every recorded run.
    np.testing.assert_allclose(one.block(0)[0, :3], [1.091689, 0.455827, 0.70179], atol=1e-6)


def test_blocks_are_independent_and_nothing_is_kept():
    op = RandomProjection(4, SHAPE)
    assert not np.allclose(op.block(0), op.block(1))
    assert op.block(3).shape == (200 - 3 * 64, 4)
    op(np.ones(SHAPE))
    assert op._kept == {}
    keeping = RandomProjection(4, SHAPE, keep=True)
    keeping(np.ones(SHAPE))
    assert sorted(keeping._kept) == [0, 1, 2, 3]


def test_both_precisions_and_libraries_see_one_matrix(rng):
    op, x = RandomProjection(9, SHAPE), rng.standard_normal((2, *SHAPE))
    np.testing.assert_allclose(op(x.astype("float32")), op(x), atol=1e-5)
    torch.testing.assert_close(op(torch.from_numpy(x)), torch.from_numpy(op(x)))


def test_noiseless_recovery_of_as_many_pixels(rng):
    op = RandomProjection(32, (1, 4, 8))
    x = rng.random((2, 1, 4, 8))
    np.testing.assert_allclose(op.pinv(op(x)), x, atol=1e-8)


def test_closed_form_only_for_few_measurements(monkeypatch, rng):
    op = RandomProjection(40, (1, 10, 10))
    v, y = rng.standard_normal(op.dim_shape), rng.standard_normal(op.codim_shape)
    closed, exact = op.prox_l2(v, y, 2.0), op.lipschitz
    assert op.has_closed_form and op.lipschitz_kind == "exact"
    monkeypatch.setattr(random_projection, "CLOSED_FORM_LIMIT", 39)
    op = RandomProjection(40, (1, 10, 10))
    assert not op.has_closed_form
    np.testing.assert_allclose(op.prox_l2(v, y, 2.0), closed, atol=1e-9)
    assert op.lipschitz_kind == "estimate" and op.lipschitz == pytest.approx(exact, rel=0.1)


def test_norm_of_many_measurements_is_near():
    op = RandomProjection(1025, (1, 40, 40))
    matrix = op.to_dense()
    assert op.lipschitz == pytest.approx(np.linalg.norm(matrix, 2), rel=0.02)


def test_closed_form_when_asked_for(monkeypatch, rng):
    v, y = rng.standard_normal((1, 10, 10)), rng.standard_normal(40)
    iterating = RandomProjection(40, (1, 10, 10), decompose=False)
    assert not iterating.has_closed_form
    monkeypatch.setattr(random_projection, "CLOSED_FORM_LIMIT", 39)
    closed = RandomProjection(40, (1, 10, 10), decompose=True)
    assert closed.has_closed_form and closed.lipschitz_kind == "exact"
    np.testing.assert_allclose(closed.prox_l2(v, y, 2.0), iterating.prox_l2(v, y, 2.0), atol=1e-9)
    assert RandomProjection(**closed._options()).has_closed_form
    with pytest.raises(ArgumentError, match="decompose"):
        RandomProjection(40, (1, 10, 10), decompose="yes")
