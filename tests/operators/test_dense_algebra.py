"""Operators, views, dtypes, batches and numbers per image, drawn at random, against dense linear algebra."""

import math
import warnings

import numpy as np
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from flowsolve import operators as ops

VIEWS = {
    "itself": lambda op: op,
    "T": lambda op: op.T,
    "gram": lambda op: op.gram(),
    "cogram": lambda op: op.cogram(),
    "gram of gram": lambda op: op.gram().gram(),
    "scaled": lambda op: -0.5 * op,
    "scaled T": lambda op: (2.0 * op).T,
    "T gram": lambda op: op.T.gram(),
    "sum": lambda op: op + op,
    "product": lambda op: op.T @ op,
}


@st.composite
def operators(draw):
    """Return a small operator of any kind, for all images or with parameters for each of two or three."""
    shape = (draw(st.sampled_from((1, 3))), draw(st.integers(3, 5)), draw(st.integers(3, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    images = draw(st.sampled_from((None, 2, 3)))
    boundary = draw(st.sampled_from(("circular", "zero", "reflect", "replicate")))
    makers = {
        "gradient": lambda: ops.Gradient(shape, draw(st.sampled_from(("circular", "replicate")))),
        "fourier": lambda: ops.Fourier(rng.random(((images,) if images else ()) + shape), shape),
        "lines": lambda: ops.Fourier({"lines": {"acceleration": 2, "n_images": images}}, shape),
        "projection": lambda: ops.RandomProjection(draw(st.integers(1, 9)), shape),
        "projection by iteration": lambda: ops.RandomProjection(7, shape, decompose=False),
        "mask": lambda: ops.Mask.random(0.3, dim_shape=shape, n_images=images),
        "scaling": lambda: ops.Scaling(rng.random((images or 1, 1, *shape[1:])) + 0.5, shape),
        "blur": lambda: ops.Blur(rng.standard_normal((2, 3)), shape, boundary),
        "means": lambda: ops.Downsample(draw(st.sampled_from((1, 2, (1, 3)))), shape),
        "downsample-separable": lambda: ops.Downsample(
            2, shape, np.outer(rng.standard_normal(3), rng.standard_normal(2)), boundary
        ),
        "downsample": lambda: ops.Downsample(2, shape, rng.standard_normal((3, 3)), boundary),
        "resize": lambda: ops.Resize(draw(st.sampled_from((2, 0.5))), shape),
        "radon": lambda: ops.Radon(2, shape),
        "grey": lambda: ops.Grey((3, *shape[1:])),
        "mosaic": lambda: ops.Mosaic((3, 4, 4)),
        "stack": lambda: ops.stack([ops.Gradient(shape), ops.Identity(shape)]),
        "block_diag": lambda: ops.block_diag([ops.Gradient((1, 2, 3)), ops.Identity((1, 2, 2))]),
    }
    return makers[draw(st.sampled_from(sorted(makers)))]()


@st.composite
def numbers(draw, batch, axes):
    """Return one number for each image of a batch, and the array of any accepted shape that holds them."""
    flat = np.array(draw(st.lists(st.floats(0.2, 3.0), min_size=math.prod(batch), max_size=math.prod(batch))))
    ones = draw(st.sampled_from((0, *axes))) if len(batch) > 1 else draw(st.integers(0, 4))
    return flat, flat.reshape(*batch, *(1,) * ones)


@examples(15)
@given(st.data())
def test_everything_is_what_dense_algebra_says(data):
    op = VIEWS[data.draw(st.sampled_from(sorted(VIEWS)))](data.draw(operators()))
    dtype = data.draw(st.sampled_from(("float32", "float64")))
    library = data.draw(st.sampled_from(("numpy", "torch")))
    # Without a batch there are no numbers per image; an operator for n images needs an axis of n.
    count = op.n_images or data.draw(st.integers(1, 3))
    batch = data.draw(st.sampled_from(((count,), (2, count))))
    spaces = (len(op.codim_shape), len(op.dim_shape))
    flat, given_numbers = data.draw(numbers(batch, spaces))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    v, y = (rng.standard_normal((*batch, *shape)).astype(dtype) for shape in (op.dim_shape, op.codim_shape))

    def convert(a):
        return torch.from_numpy(a) if library == "torch" else a

    dense = op.to_dense()
    dense = dense if dense.ndim == 3 else np.broadcast_to(dense, (count, *dense.shape))
    matrices = np.broadcast_to(dense, (*batch, *dense.shape[1:])).reshape(-1, *dense.shape[1:])
    many = [(m, a, b, t) for m, a, b, t in zip(matrices, _rows(v, batch), _rows(y, batch), flat, strict=True)]
    eye = np.eye(dense.shape[2])
    expected = {
        "apply": [m @ a for m, a, b, t in many],
        "adjoint": [m.T @ b for m, a, b, t in many],
        "prox_l2": [np.linalg.solve(m.T @ m + eye / t, m.T @ b + a / t) for m, a, b, t in many],
        "tikhonov": [np.linalg.solve(m.T @ m + eye * t, m.T @ b) for m, a, b, t in many],
    }
    x, z, t = convert(v), convert(y), convert(given_numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ops.ConvergenceWarning)
        found = {
            "apply": op.apply(x),
            "adjoint": op.adjoint(z),
            "prox_l2": op.prox_l2(x, z, t, max_iter=2000),
            "tikhonov": op.tikhonov(z, t, max_iter=2000),
        }
        if op.has_closed_form:
            column = convert(given_numbers.reshape(*batch, *(1,) * spaces[0]).astype(dtype))
            found["cogram_function"] = op.cogram_function(lambda e: 1 / (1 + column * e), z)
            inverse = [np.linalg.solve(np.eye(len(m)) + t * m @ m.T, b) for m, a, b, t in many]
            expected["cogram_function"] = inverse
            column2 = convert(given_numbers.reshape(*batch, *(1,) * spaces[1]).astype(dtype))
            found["gram_function"] = op.gram_function(lambda e: 1 / (1 + column2 * e), x)
            expected["gram_function"] = [np.linalg.solve(eye + t * m.T @ m, a) for m, a, b, t in many]
    largest = max(1.0, *(np.linalg.norm(m, 2) for m in matrices))
    for name, wanted in expected.items():
        got = found[name]
        assert str(got.dtype).endswith(dtype), (name, op)
        got = _rows(np.asarray(got), batch)
        assert got.shape == np.shape(wanted), (name, op)
        # Conditioned as AᵀA + I / t is.
        limit = (2e-4 if dtype == "float32" else 1e-8) * largest**2
        scale = max(np.linalg.norm(wanted), 1.0)
        assert np.linalg.norm(got - wanted) <= limit * scale, (name, op, library, dtype)


@examples(15)
@given(st.data())
def test_pseudo_inverses_of_closed_forms(data):
    op = VIEWS[data.draw(st.sampled_from(("itself", "T", "scaled", "gram", "T gram")))](
        data.draw(operators())
    )
    if not op.has_closed_form:
        return
    count = op.n_images or 2
    dense = op.to_dense()
    matrices = dense if dense.ndim == 3 else np.broadcast_to(dense, (count, *dense.shape))
    y = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal((count, *op.codim_shape))
    singular = np.concatenate([s / s[0] for s in np.linalg.svd(matrices, compute_uv=False)])
    condition = 1 / singular[singular > 1e-9].min()
    if condition > 1e4:
        return
    wanted = [np.linalg.pinv(m, rcond=1e-9) @ b for m, b in zip(matrices, _rows(y, (count,)), strict=True)]
    found = _rows(op.pinv(y, rcond=1e-7), (count,))
    assert np.linalg.norm(found - wanted) <= 1e-10 * condition * max(np.linalg.norm(wanted), 1), op


def _rows(a, batch):
    """Return an array as one row an image."""
    return a.reshape(math.prod(batch), -1)
