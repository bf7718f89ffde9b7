"""Sparse products in each library."""

import array_api_strict
import numpy as np
import pytest
import torch
from scipy.sparse import random_array

from flowsolve.operators.sparse import SparseMatrix


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "library",
    [np.asarray, torch.from_numpy, array_api_strict.asarray],
    ids=["numpy", "torch", "array-api-strict"],
)
def test_product(library, dtype, rng):
    host = random_array((7, 5), density=0.4, rng=rng)
    matrix = SparseMatrix(host)
    x, y = (rng.standard_normal((2, 3, n)).astype(dtype) for n in (5, 7))
    found, back = matrix.product(library(x)), matrix.product(library(y), transpose=True)
    assert str(found.dtype).endswith(dtype) and type(found) is type(library(x))
    np.testing.assert_allclose(np.asarray(found), x @ host.toarray().T, atol=1e-5)
    np.testing.assert_allclose(np.asarray(back), y @ host.toarray(), atol=1e-5)
