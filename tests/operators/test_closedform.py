"""Pseudo-inverse, projections, prox and Tikhonov beyond what the conformance kit covers."""

import warnings

import numpy as np
import pytest
import torch

from flowsolve.operators import Blur, ConvergenceWarning, Downsample, Mask
from flowsolve.operators.iterative import cgls, conjugate_gradient, power_iteration

from .conftest import OPERATORS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tau", [1e-3, 1.0, 1e4])
def test_prox_is_stationary(operator, dtype, tau, rng):
    if dtype == "float32" and tau > 1 and not operator.has_closed_form:
        pytest.skip("the iteration's condition number is beyond single precision")
    count = operator.n_images or 2
    v = rng.standard_normal((count, *operator.dim_shape)).astype(dtype)
    y = rng.standard_normal((count, *operator.codim_shape)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        x = operator.prox_l2(v, y, tau, max_iter=2000)
    assert x.dtype == v.dtype
    gradient = tau * operator.adjoint(operator(x) - y) + x - v
    scale = tau * np.linalg.norm(operator.adjoint(operator(v) - y)) + 1.0
    assert np.linalg.norm(gradient) <= (2e-4 if dtype == "float32" else 1e-6) * scale


@pytest.mark.parametrize("name", ["mask-per-image", "mean-uneven", "downsample-circular", "blur-circular"])
def test_prox_with_infinite_step_projects(name, rng):
    op = OPERATORS[name]
    truth, v = (rng.standard_normal((3, *op.dim_shape)) for _ in range(2))
    x = op.prox_l2(v, op(truth), float("inf"))
    np.testing.assert_allclose(op(x), op(truth), atol=1e-9)
    np.testing.assert_allclose(op.project_nullspace(x), op.project_nullspace(v), atol=1e-9)
    np.testing.assert_allclose(op.prox_l2(v, op(truth), 1e9), x, atol=1e-4)


def test_range_null_space_form_meets_the_measurement(operator, rng):
    if not operator.has_closed_form:
        pytest.skip("an iteration meets it up to its tolerance only")
    u, truth = (rng.standard_normal((operator.n_images or 2, *operator.dim_shape)) for _ in range(2))
    y = operator(truth)
    x = operator.pinv(y) + operator.project_nullspace(u)
    np.testing.assert_allclose(operator(x), y, atol=1e-8)


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("name", ["mask-per-image", "blur-circular", "blur-reflect", "mean", "composition"])
def test_a_step_per_image(name, shape, rng):
    op = OPERATORS[name]
    v, y = rng.standard_normal((3, *op.dim_shape)), rng.standard_normal((3, *op.codim_shape))
    taus = np.array([0.1, 1.0, 10.0])
    together = op.prox_l2(v, y, taus.reshape(shape))
    smoothed = op.tikhonov(y, taus.reshape(shape))
    for i, tau in enumerate(taus):
        alone = op.select([i])
        np.testing.assert_allclose(together[[i]], alone.prox_l2(v[[i]], y[[i]], tau), atol=1e-9)
        np.testing.assert_allclose(smoothed[[i]], alone.tikhonov(y[[i]], tau), atol=1e-8)


def test_steps_of_another_library_and_batches_of_two_axes(rng):
    op = OPERATORS["blur-circular"]
    v = torch.from_numpy(rng.standard_normal((2, 3, *op.dim_shape)).astype("float32"))
    taus = rng.random((2, 3)) + 0.5
    x = op.prox_l2(v, v, taus)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x[1, 2], op.prox_l2(v[1, 2], v[1, 2], float(taus[1, 2])))
    torch.testing.assert_close(x[:, 0], op.prox_l2(v[:, 0], v[:, 0], torch.from_numpy(taus[:, 0])))
    torch.testing.assert_close(op.prox_l2(v, v, np.array(0.5)), op.prox_l2(v, v, 0.5))


def test_one_measurement_for_several_starts(rng):
    op = OPERATORS["blur-zero"]
    v, y = rng.standard_normal((3, *op.dim_shape)), rng.standard_normal(op.codim_shape)
    np.testing.assert_allclose(op.prox_l2(v, y, 1.0)[1], op.prox_l2(v[1], y, 1.0), atol=1e-9)


def test_paper_blur_inverts_without_noise():
    # The known fact that noiseless zero-padded blur needs no prior: 1-D, conditioned ~100.
    op = Blur.uniform((1, 7), (1, 1, 64), "zero")
    truth = np.random.default_rng(0).random((1, 1, 64))
    np.testing.assert_allclose(op.pinv(op(truth), tol=1e-14), truth, atol=1e-8)


def test_rcond_drops_small_singular_values():
    op = Mask(np.array([[1.0, 1e-3]]), (1, 1, 2))
    y = np.ones((1, 1, 2))
    np.testing.assert_allclose(op.pinv(y), [[[1.0, 1e3]]])
    np.testing.assert_allclose(op.pinv(y, rcond=1e-2), [[[1.0, 0.0]]])


def test_gram_function_is_a_function_of_the_gram_matrix(rng):
    op = Downsample(2, (1, 4, 6), rng.standard_normal((3, 3)))
    x = rng.standard_normal((2, 1, 4, 6))
    values, vectors = np.linalg.eigh(op.gram().to_dense())
    expected = (vectors * np.exp(-np.maximum(values, 0))) @ vectors.T @ x.reshape(2, -1).T
    np.testing.assert_allclose(
        op.gram_function(lambda e: np.exp(-e), x).reshape(2, -1).T, expected, atol=1e-12
    )
    flat = np.linalg.pinv(op.to_dense().T) @ x.reshape(2, -1).T
    np.testing.assert_allclose(op.T.pinv(x).reshape(2, -1).T, flat, atol=1e-11)


def test_short_iterations_warn():
    op = Blur.motion(5, 30, (1, 8, 8), "reflect")
    y = np.random.default_rng(0).standard_normal((1, 8, 8))
    with pytest.warns(ConvergenceWarning, match=r"pinv: stopped after 3 iterations at a relative residual"):
        op.pinv(y, max_iter=3)
    with pytest.warns(ConvergenceWarning, match="prox_l2: stopped after 1 iterations"):
        op.prox_l2(y, y, 10.0, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="tikhonov: stopped after 1 iterations"):
        op.tikhonov(y, 0.01, max_iter=1)


def test_each_image_has_its_own_iteration():
    matrices = [np.diag([1.0, 1.0, 1.0]), np.diag([1.0, 5.0, 9.0])]
    stacked = np.stack(matrices)
    b = np.array([[1.0, 2.0, 3.0], [1e-6, 2e-6, 1e-6]])
    result = conjugate_gradient(lambda x: np.einsum("nij,nj->ni", stacked, x), b, ndim=1, tol=1e-12)
    assert result.iterations == 3 and result.converged.all()
    np.testing.assert_allclose(result.x, [np.linalg.solve(m, r) for m, r in zip(matrices, b, strict=True)])
    alone = conjugate_gradient(lambda x: x @ matrices[0], b[:1], ndim=1, tol=1e-12)
    np.testing.assert_array_equal(result.x[0], alone.x[0])


def test_zero_right_hand_sides_stay_zero():
    result = conjugate_gradient(lambda x: 2 * x, np.zeros((2, 3)), ndim=1)
    assert result.iterations == 0 and not result.x.any()
    least = cgls(lambda x: x, lambda y: y, np.zeros((2, 3)), dim_ndim=1, codim_ndim=1)
    assert not least.x.any() and not least.residual.any()
    assert power_iteration(lambda x: 0 * x, np.ones(3)) == 0.0


def test_float32_gives_what_float64_gives(operator, rng):
    y = rng.standard_normal((operator.n_images or 2, *operator.codim_shape))
    single = operator.tikhonov(y.astype("float32"), 0.5)
    np.testing.assert_allclose(single, operator.tikhonov(y, 0.5), atol=2e-4)
