"""Faster routes on torch against the array-API code."""

import numpy as np
import pytest
import torch

from flowsolve.operators import Blur, Mask, torch_fast


@pytest.mark.parametrize("kernels", [1, 3])
@pytest.mark.parametrize("tile", [1, 100, 250, 1 << 16])
def test_planes_are_filtered_alike_in_any_portions(kernels, tile, monkeypatch, rng):
    monkeypatch.setattr(torch_fast, "TRANSFORM_TILE", tile)
    monkeypatch.setattr(torch_fast, "prefers_direct", lambda passes, pixels: False)
    kernel = rng.standard_normal((5, 4) if kernels == 1 else (3, 5, 4))
    for boundary in ("circular", "reflect"):
        op = Blur(kernel, (3, 8, 9), boundary)
        x = rng.standard_normal((2, 2, 3, 8, 9))
        np.testing.assert_allclose(op(torch.from_numpy(x)), op(x), atol=1e-13)
        np.testing.assert_allclose(op.adjoint(torch.from_numpy(x)), op.adjoint(x), atol=1e-13)
        np.testing.assert_allclose(op.gram()(torch.from_numpy(x)), op.gram()(x), atol=1e-12)


def test_large_results_are_ordinary_tensors():
    mask = Mask(np.ones((1, 1024, 1024)))
    x = torch.rand(1, 1024, 1024, requires_grad=True)
    y = mask(x)
    y.sum().backward()
    assert y.shape == x.shape and x.grad.sum() == 1024**2
    memory = torch_fast.empty((1024, 1100), torch.float32)
    assert memory.dtype == torch.float32 and memory.is_contiguous() and memory.shape == (1024, 1100)
    assert torch_fast.empty((2, 3), torch.float64).dtype == torch.float64


def test_the_rule_does_not_look_at_the_batch():
    assert torch_fast.prefers_direct(14, 64 * 64) and not torch_fast.prefers_direct(49, 64 * 64)
    assert torch_fast.prefers_direct(58, 512 * 512) and torch_fast.prefers_direct(98, 2048 * 2048)
    op = Blur.uniform(5, (3, 16, 16))
    x = torch.rand(7, 3, 16, 16)
    assert torch.equal(op(x)[4], op(x[4])) and torch.equal(op(x)[:1], op(x[:1]))


def test_only_plain_cpu_tensors_take_them():
    assert torch_fast.usable(torch.ones(2)) and not torch_fast.usable(np.ones(2))
    assert not torch_fast.usable(torch.ones(2, device="meta"))
    assert not torch_fast.usable(torch.ones(2, 2).to_sparse())
    seen = []
    torch.func.vmap(lambda x: seen.append(torch_fast.usable(x)) or x)(torch.ones(2, 2))
    assert seen == [False]


def test_large_results_start_at_a_line_of_the_cache():
    for shape in ((1024, 1100), (3, 1025, 1027), (1 << 22,)):
        memory = torch_fast.empty(shape, torch.float64)
        assert memory.data_ptr() % torch_fast.LINE == 0 and memory.shape == shape
        memory.fill_(1.0)
        assert memory.sum() == memory.numel()
