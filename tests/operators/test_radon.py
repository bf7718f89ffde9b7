"""Projections beside those of scikit-image."""

import pickle

import numpy as np
import pytest
import torch
from skimage.transform import radon

from flowsolve.operators import Radon

ANGLES = [0.0, 17.0, 45.0, 90.0, 133.3, 179.0]


@pytest.mark.parametrize("size", [(16, 16), (15, 15), (12, 17), (9, 4)], ids=str)
def test_agrees_with_skimage(size, rng):
    x = rng.random((1, *size))
    expected = radon(x[0], ANGLES, circle=False).T
    np.testing.assert_allclose(Radon(ANGLES, (1, *size))(x)[0], expected, atol=1e-8)


@pytest.mark.parametrize("side", [16, 15])
def test_agrees_with_skimage_inside_the_circle(side, rng):
    row, column = np.indices((side, side)) - side // 2
    x = rng.random((side, side)) * (np.hypot(row, column) < side // 2)
    expected = radon(x, ANGLES, circle=True).T
    np.testing.assert_allclose(
        Radon(ANGLES, (1, side, side), detectors=side)(x[None])[0], expected, atol=1e-8
    )


def test_no_mass_is_lost(rng):
    x = np.zeros((1, 12, 12))
    x[0, 4:8, 4:8] = rng.random((4, 4))
    np.testing.assert_allclose(Radon(ANGLES, (1, 12, 12))(x).sum(-1), x.sum(), rtol=0.02)
    np.testing.assert_allclose(Radon([0.0, 90.0], (1, 12, 12))(x).sum(-1), x.sum(), rtol=1e-12)


def test_a_quarter_turn_sums_columns_and_rows(rng):
    x = rng.random((1, 6, 6))
    y = Radon([0.0, 90.0], (1, 6, 6), detectors=6)(x)[0]
    np.testing.assert_allclose(y[0], x[0].sum(0))
    # At a quarter turn detectors run upwards about pixel 3, so the first sees nothing.
    np.testing.assert_allclose(y[1, 1:], x[0].sum(1)[:0:-1])


def test_a_number_of_angles_spreads_them():
    assert Radon(4, (1, 4, 4)).angles.tolist() == [0, 45, 90, 135]


def test_bound_on_the_norm_is_near():
    op = Radon(8, (1, 10, 10))
    norm = np.linalg.norm(op.to_dense(), 2)
    assert norm <= op.lipschitz <= 1.001 * norm and op.lipschitz_kind == "bound"


def test_caches_hold_one_matrix_a_precision_and_are_not_pickled(rng):
    op = Radon(3, (1, 5, 5))
    x = torch.from_numpy(rng.random((1, 5, 5)))
    first = op(x)
    assert op(x.float()).dtype == torch.float32 and len(op._matrix._cache) == 2
    again = pickle.loads(pickle.dumps(op))
    assert again._matrix._cache == {}
    torch.testing.assert_close(again(x), first)
