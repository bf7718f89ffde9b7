import numpy as np
import pytest
import torch

from flowsolve.operators import Downsample, compiled_blocks, threads


def reference(x, factor):
    rows, columns = factor
    blocks = x.reshape(*x.shape[:-2], x.shape[-2] // rows, rows, x.shape[-1] // columns, columns)
    return blocks.mean((-3, -1))


@pytest.mark.parametrize("alone", [0, 1 << 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [(1, 1), (2, 2), (4, 4), (3, 5), (12, 2), (1, 4)])
def test_block_maps(factor, dtype, alone, monkeypatch, rng):
    monkeypatch.setattr(threads, "ALONE", alone)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    x = torch.as_tensor(rng.standard_normal((2, 3, 12, 20)), dtype=dtype)
    y = reference(x, factor)
    torch.testing.assert_close(compiled_blocks.block_means(x, factor), y)
    spread = y.repeat_interleave(factor[0], -2).repeat_interleave(factor[1], -1) / (factor[0] * factor[1])
    torch.testing.assert_close(compiled_blocks.block_spread(y, factor), spread)
    torch.testing.assert_close(compiled_blocks.block_gram(x, factor), spread)


def test_slices_and_empty_batches(rng):
    whole = torch.as_tensor(rng.standard_normal((2, 3, 8, 16)))
    part = whole[:, 1:, :, ::2]
    torch.testing.assert_close(compiled_blocks.block_means(part, (2, 2)), reference(part, (2, 2)))
    assert compiled_blocks.block_gram(whole[:0], (2, 2)).shape == (0, 3, 8, 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.complex64])
def test_other_numbers_take_the_other_way(dtype):
    x = torch.ones(1, 8, 8, dtype=dtype)
    assert not threads.compilable(x) and not threads.compilable(np.ones((1, 8, 8)))


def test_the_operator_takes_it(monkeypatch, rng):
    operator, x = Downsample(2, (3, 8, 8)), torch.as_tensor(rng.standard_normal((2, 3, 8, 8)))
    taken = []
    for name in ("block_means", "block_spread", "block_gram"):
        original = getattr(compiled_blocks, name)
        monkeypatch.setattr(
            compiled_blocks, name, lambda *given, f=original, n=name: taken.append(n) or f(*given)
        )
    torch.testing.assert_close(operator.gram().apply(x), operator.adjoint(operator.apply(x)))
    assert sorted(taken) == ["block_gram", "block_means", "block_spread"]


@pytest.mark.parametrize("factor", [1, 2, (1, 2), (2, 1), (3, 2), (2, 3), (4, 4), (12, 3), 12], ids=str)
def test_the_same_as_the_array_code(factor, rng):
    op = Downsample(factor, (2, 12, 12))
    x = rng.standard_normal((3, 2, 12, 12))
    found = op(torch.from_numpy(x))
    np.testing.assert_allclose(found, op(x), atol=1e-14)
    np.testing.assert_allclose(op.adjoint(found), op.adjoint(op(x)), atol=1e-14)
    np.testing.assert_allclose(op.gram()(torch.from_numpy(x)), op.gram()(x), atol=1e-14)
    assert op.adjoint(found.float()).dtype == torch.float32


def test_results_share_no_memory_in_and_out_of_inference_mode():
    op = Downsample(2, (1, 8, 8))
    x = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        inside = op.adjoint(op(x))
    first, second = op.adjoint(op(x)), op.adjoint(op(2 * x))
    assert torch.equal(first, inside) and torch.equal(second, 2 * first)


def test_tensors_that_torch_negates_as_they_are_read(rng):
    values = torch.as_tensor(rng.standard_normal((2, 3, 8, 8, 2)))
    x = torch.view_as_complex(values).conj().imag
    assert x.is_neg()
    op = Downsample(2, (3, 8, 8))
    torch.testing.assert_close(op(x), op(x.clone()))
    torch.testing.assert_close(op.gram()(x), op.gram()(x.clone()))
    torch.testing.assert_close(op.adjoint(x[..., :4, :4]), op.adjoint(x[..., :4, :4].clone()))
