"""Means over blocks on torch against the array-API code."""

import numpy as np
import pytest
import torch

from flowsolve.operators import Downsample, torch_blocks


@pytest.mark.parametrize("factor", [1, 2, (1, 2), (2, 1), (3, 2), (2, 3), (4, 4), (12, 3), 12], ids=str)
@pytest.mark.parametrize("tile", [10, 1 << 20])
def test_block_means(factor, tile, monkeypatch, rng):
    monkeypatch.setattr(torch_blocks, "TILE", tile)
    op = Downsample(factor, (2, 12, 12))
    x = rng.standard_normal((3, 2, 12, 12))
    found = op(torch.from_numpy(x))
    np.testing.assert_allclose(found, op(x), atol=1e-14)
    np.testing.assert_allclose(op.adjoint(found), op.adjoint(op(x)), atol=1e-14)
    np.testing.assert_allclose(op.gram()(torch.from_numpy(x)), op.gram()(x), atol=1e-14)
    assert op.adjoint(found.float()).dtype == torch.float32


def test_results_share_no_memory_and_temporaries_may_be_used_in_and_out_of_inference_mode():
    op = Downsample(2, (1, 8, 8))
    x = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        inside = op.adjoint(op(x))
    first, second = op.adjoint(op(x)), op.adjoint(op(2 * x))
    assert torch.equal(first, inside) and torch.equal(second, 2 * first)


def test_bands_larger_than_the_memory_that_is_kept(monkeypatch):
    monkeypatch.setattr(torch_blocks, "scratch", lambda dtype: torch.empty(3, dtype=dtype))
    op, x = Downsample(2, (1, 8, 8)), torch.rand(2, 1, 8, 8, dtype=torch.float64)
    np.testing.assert_allclose(op.gram()(x), op.gram()(x.numpy()), atol=1e-14)
