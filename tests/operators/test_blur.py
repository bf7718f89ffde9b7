"""Blur against SciPy and torch, and its kernels."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from flowsolve.operators import Blur
from flowsolve.operators.kernels import gaussian, motion, uniform

MODES = {"circular": "wrap", "zero": "constant", "reflect": "mirror", "replicate": "nearest"}


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 2), (4, 3), (1, 6), (8, 9)], ids=str)
def test_agrees_with_scipy(size, boundary, rng):
    kernel, x = rng.standard_normal(size), rng.standard_normal((2, 3, 8, 9))
    expected = [[ndimage.convolve(c, kernel, mode=MODES[boundary]) for c in image] for image in x]
    np.testing.assert_allclose(Blur(kernel, (3, 8, 9), boundary)(x), expected, atol=1e-13)


@pytest.mark.parametrize("boundary", ["reflect", "replicate", "circular"])
def test_boundary_names_are_those_of_torch(boundary, rng):
    kernel, x = rng.standard_normal((3, 5)), torch.from_numpy(rng.standard_normal((1, 1, 7, 8)))
    padded = torch.nn.functional.pad(x, (2, 2, 1, 1), mode=boundary)
    flipped = torch.from_numpy(kernel[::-1, ::-1].copy())[None, None]
    expected = torch.nn.functional.conv2d(padded, flipped)
    torch.testing.assert_close(Blur(kernel, (1, 7, 8), boundary)(x), expected, atol=1e-13, rtol=0)


def test_kernel_per_channel(rng):
    kernels, x = rng.standard_normal((3, 3, 2)), rng.standard_normal((3, 6, 5))
    expected = [ndimage.convolve(c, k, mode="wrap") for c, k in zip(x, kernels, strict=True)]
    np.testing.assert_allclose(Blur(kernels, (3, 6, 5))(x), expected, atol=1e-13)


@pytest.mark.parametrize("boundary", MODES)
def test_delta_changes_nothing(boundary, rng):
    delta = np.zeros((4, 3))
    delta[2, 1] = 1.0
    x = rng.standard_normal((1, 5, 6))
    np.testing.assert_allclose(Blur(delta, (1, 5, 6), boundary)(x), x, atol=1e-15)


@pytest.mark.parametrize("boundary", ["circular", "reflect", "replicate"])
def test_constant_stays_constant(boundary):
    op = Blur.gaussian(1.2, (3, 9, 9), boundary=boundary)
    np.testing.assert_allclose(op(np.full((3, 9, 9), 0.4)), 0.4, atol=1e-14)


def test_norms():
    assert Blur.uniform(7, (3, 64, 64)).lipschitz == pytest.approx(1.0, abs=1e-14)
    assert Blur.uniform(7, (3, 64, 64)).lipschitz_kind == "exact"
    zero = Blur.uniform(7, (1, 16, 16), "zero")
    assert zero.lipschitz_kind == "bound"
    assert np.linalg.norm(zero.to_dense(), 2) <= zero.lipschitz <= 1.0 + 1e-11
    for boundary in ("reflect", "replicate"):
        op = Blur.uniform(7, (1, 16, 16), boundary)
        norm = np.linalg.norm(op.to_dense(), 2)
        assert op.lipschitz_kind == "bound"
        assert norm <= op.lipschitz <= 1.8 * norm


def test_uniform_kernel():
    np.testing.assert_array_equal(uniform((2, 5)), np.full((2, 5), 0.1))
    assert Blur.uniform(7, (3, 9, 9)).kernel.shape == (1, 7, 7)
    assert Blur.uniform((3, 5), (3, 9, 9)).kernel.shape == (1, 3, 5)


def test_gaussian_kernel():
    kernel = gaussian(1.5)
    assert kernel.shape == (11, 11)
    assert kernel.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    np.testing.assert_allclose(kernel[5, 6] / kernel[5, 5], np.exp(-0.5 / 1.5**2))
    assert gaussian((1.0, 2.0), (4, 3)).shape == (4, 3)
    assert np.isfinite(gaussian(1e-3, 4)).all()


def test_motion_kernel():
    np.testing.assert_allclose(motion(5, 0), np.full((1, 5), 0.2))
    np.testing.assert_allclose(motion(5, 90), np.full((5, 1), 0.2))
    np.testing.assert_allclose(motion(4), [[0.125, 0.25, 0.25, 0.25, 0.125]])
    np.testing.assert_array_equal(motion(1), [[1.0]])
    diagonal = motion(3 * np.sqrt(2), 45)
    np.testing.assert_allclose(diagonal, np.fliplr(np.eye(3)) / 3, atol=1e-12)
    tilted = motion(9, 30)
    np.testing.assert_allclose(tilted, motion(9, 210), atol=1e-12)
    np.testing.assert_allclose(tilted, tilted[::-1, ::-1], atol=1e-12)
    assert tilted.sum() == pytest.approx(1.0)
    # Counter-clockwise: the right-hand end points up, to smaller row numbers.
    assert tilted[: tilted.shape[0] // 2, tilted.shape[1] // 2 + 1 :].sum() > 0.2
    assert Blur.motion(9, 30, (3, 16, 16)).kernel.shape == (1, *tilted.shape)


@pytest.mark.parametrize("boundary", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize("kernel", [np.full((3, 3), 1 / 9), np.outer([1.0, 2, 3, 1], [0.5, 1, -0.25])])
def test_separable_kernels_have_closed_forms_under_every_boundary(kernel, boundary, rng):
    op = Blur(kernel, (2, 8, 7), boundary)
    assert op.has_closed_form
    v, y = rng.standard_normal((3, 2, 8, 7)), rng.standard_normal((3, 2, 8, 7))
    dense, tau = op.to_dense(), 3.0
    normal = np.eye(len(dense)) + tau * dense.T @ dense
    expected = np.linalg.solve(normal, (v.reshape(3, -1) + tau * y.reshape(3, -1) @ dense).T).T
    np.testing.assert_allclose(op.prox_l2(v, y, tau).reshape(3, -1), expected, atol=1e-10)
    np.testing.assert_allclose(
        op.pinv(y).reshape(3, -1), y.reshape(3, -1) @ np.linalg.pinv(dense).T, rtol=1e-7, atol=1e-7
    )


def test_other_kernels_have_closed_forms_under_the_circular_boundary_only():
    kernel = np.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert Blur(kernel, (1, 8, 8)).has_closed_form
    assert not Blur(kernel, (1, 8, 8), "zero").has_closed_form
    assert not Blur(np.ones((2, 3, 3)), (2, 8, 8), "zero").has_closed_form
