"""Matrices along one axis."""

import numpy as np
import pytest
import torch

from flowsolve.operators.axismap import AxisMap


@pytest.mark.parametrize("size", [(5, 4), (4, 200)], ids=["full", "banded"])
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_forward_and_transpose(size, library, rng):
    matrix = np.zeros(size)
    matrix[np.arange(4), np.arange(4)] = [1.0, -2.0, 3.0, 4.0]
    matrix[0, -1] = 0.5
    m, n = size
    axis_map = AxisMap(matrix)
    x, y = rng.standard_normal((2, n, 3)), rng.standard_normal((2, 3, m))
    np.testing.assert_allclose(axis_map.forward(library(x), -2), np.einsum("mn,bnc->bmc", matrix, x))
    np.testing.assert_allclose(axis_map.transpose(library(y), -1), np.einsum("mn,bcm->bcn", matrix, y))
