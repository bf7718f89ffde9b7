"""The adjoint, over kernels, sizes, boundaries, precisions and array libraries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsolve.operators import Blur, Downsample
from flowsolve.operators.boundaries import BOUNDARIES, pad, pad_adjoint
from flowsolve.operators.conformance import check_adjoint

KERNELS = [(1, 1), (3, 3), (2, 2), (5, 4), (1, 7), (6, 1), (9, 11)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", KERNELS, ids=str)
def test_blur(size, boundary, dtype, where, rng):
    op = Blur(rng.standard_normal(size), (3, 9, 11), boundary)
    assert [r for r in check_adjoint(op, where, dtype) if not r.passed] == []


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("factor", [1, 2, (3, 2), (9, 4)], ids=str)
def test_downsample(factor, boundary, dtype, where, rng):
    for op in (
        Downsample(factor, (3, 9, 11)),
        Downsample(factor, (3, 9, 11), rng.standard_normal((3, 4, 3)), boundary),
    ):
        assert [r for r in check_adjoint(op, where, dtype) if not r.passed] == []


sizes = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(height=sizes, width=sizes, rows=sizes, columns=sizes, seed=st.integers(0, 99), data=st.data())
def test_any_blur(height, width, rows, columns, seed, data):
    boundary = data.draw(st.sampled_from(BOUNDARIES))
    kernel = np.random.default_rng(seed).standard_normal((min(rows, height), min(columns, width)))
    op = Blur(kernel, (1, height, width), boundary)
    assert all(r.passed for r in check_adjoint(op, seed=seed))


@settings(max_examples=60, deadline=None)
@given(height=sizes, width=sizes, rows=sizes, columns=sizes, seed=st.integers(0, 99))
def test_any_downsample(height, width, rows, columns, seed):
    factor = (min(rows, height), min(columns, width))
    offset = (seed % factor[0], seed % factor[1])
    blurred = Downsample(factor, (1, height, width), np.array([[1.0, -2.0]])[:, :width], offset=offset)
    for op in (Downsample(factor, (1, height, width)), blurred):
        assert all(r.passed for r in check_adjoint(op, seed=seed))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    rows=st.tuples(st.integers(0, 1), st.integers(0, 6)),
    columns=st.tuples(st.integers(0, 6), st.integers(0, 1)),
    boundary=st.sampled_from(BOUNDARIES),
)
def test_pad(shape, rows, columns, boundary):
    rows = tuple(min(r, shape[0] - 1) for r in rows)
    columns = tuple(min(c, shape[1] - 1) for c in columns)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, *shape))
    padded = pad(x, rows, columns, boundary)
    mode = {"circular": "wrap", "zero": "constant", "reflect": "reflect", "replicate": "edge"}[boundary]
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), rows, columns), mode=mode))
    z = rng.standard_normal(padded.shape)
    assert np.sum(padded * z) == pytest.approx(np.sum(x * pad_adjoint(z, rows, columns, boundary)), abs=1e-12)
