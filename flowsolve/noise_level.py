"""The noise level from the measurements alone.

Three sources, the most reliable one first. What no image can explain, the part of y outside the range of A,
is noise and nothing else. So, nearly, is what A lets through so weakly that the image has no share in it:
the frequencies that a blur removes. Otherwise measurements that are images themselves are taken apart by
wavelets, whose finest diagonal coefficients are mostly noise (Donoho and Johnstone, "Ideal spatial
adaptation by wavelet shrinkage", Biometrika 1994); where pixels are missing, by differences of those whose
neighbours are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.signal import correlate
from skimage.restoration import estimate_sigma as wavelet_sigma

from .errors import UnsupportedError
from .operators import Fourier, LinearOperator, Mask, Mosaic

WEAK = 1e-5
"""Eigenvalues of A Aᵀ up to this share of the largest count as removed: an image's share in what is left of
them is below a deviation of 1e-3."""

ENOUGH = 64
"""Numbers that a standard deviation is estimated from, at least."""

STENCILS = (
    np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]),
    np.array([[1.0, -1], [-1, 1]]),
    np.array([[1.0, -2, 1]]),
)
"""Differences that smooth images have little of, the best first (the first is Immerkaer's, "Fast noise
variance estimation", 1996); with pixels missing, smaller ones fit more often."""

MAD = 1.4826
"""Standard deviation of a normal law in units of its median absolute deviation."""


def estimate_sigma(operator: LinearOperator, y: torch.Tensor) -> float:
    """Estimate the standard deviation of white Gaussian noise in measurements.

    Parameters
    ----------
    operator : LinearOperator
        The degradation A.
    y : torch.Tensor, shape (N, *codim_shape)
        Measurements.

    Returns
    -------
    float
        Median over the images, in units of the measurements. Of images with much fine texture it is too
        large.

    Raises
    ------
    UnsupportedError
        If nothing about the operator tells noise from image.
    """
    for source in (_unexplained, _removed, _imaged):
        found = source(operator, y.detach())
        if found is not None:
            return float(np.median(found))
    raise UnsupportedError(
        f"sigma: 'auto' cannot tell noise from image for {operator}; give the standard deviation of the noise"
    )


def _unexplained(operator: LinearOperator, y: torch.Tensor) -> np.ndarray | None:
    """From y − A A⁺y, where there are more measurements than unknowns."""
    surplus = math.prod(operator.codim_shape) - math.prod(operator.dim_shape)
    if surplus < ENOUGH or operator.support is not None:
        return None
    residual = y - operator.apply(operator.pinv(y))
    return (residual.double().flatten(1).square().sum(1) / surplus).sqrt().cpu().numpy()


def _removed(operator: LinearOperator, y: torch.Tensor) -> np.ndarray | None:
    """From the part of y in the eigenvectors of A Aᵀ that A hardly lets through."""
    if not operator.has_closed_form or isinstance(operator, Mask | Fourier) or operator.support is not None:
        return None
    largest = operator.lipschitz**2

    def weak(eigenvalues: torch.Tensor) -> torch.Tensor:
        return (eigenvalues <= WEAK * largest).to(y.dtype)

    project: Callable[[torch.Tensor], torch.Tensor] = lambda v: operator.cogram_function(weak, v)  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    probe = torch.randint(0, 2, y.shape[1:], generator=generator).to(y) * 2 - 1
    # The trace of a projection, by Hutchinson's estimator: how many such directions there are.
    count = float(project(probe[None].expand_as(y)).flatten(1).square().sum(1).double().mean())
    if count < ENOUGH:
        return None
    return (project(y).double().flatten(1).square().sum(1) / count).sqrt().cpu().numpy()


def _imaged(operator: LinearOperator, y: torch.Tensor) -> np.ndarray | None:
    """From y as images, where its last axes are rows and columns."""
    if y.ndim != 4 or min(y.shape[-2:]) < 8 or not _spatial(operator):
        return None
    planes = y.double().cpu().numpy()
    if operator.support is None and not isinstance(operator, Mosaic):
        return np.array([np.mean(wavelet_sigma(image, channel_axis=0)) for image in planes])
    known = np.ones(planes.shape, dtype=bool)
    if operator.support is not None:
        known = np.broadcast_to(np.asarray(operator.support) != 0, planes.shape)
    if isinstance(operator, Mask):
        weights = np.broadcast_to(operator.mask, planes.shape)
        planes = np.where(known, planes, 0)
        known = known & (np.abs(weights) > 0)
    # Of a mosaic, pixels of one colour are two apart.
    step = 2 if isinstance(operator, Mosaic) else 1
    estimates = [_stencilled(p, k, step) for p, k in zip(planes, known, strict=True)]
    found = [value for value in estimates if value is not None]
    return np.array(found) if found else None


def _spatial(operator: LinearOperator) -> bool:
    """Whether rows and columns of a measurement are places in the image, which its sides tell."""
    if len(operator.codim_shape) != 3 or len(operator.dim_shape) != 3 or isinstance(operator, Fourier):
        return False
    ratios = [n / m for n, m in zip(operator.dim_shape[1:], operator.codim_shape[1:], strict=True)]
    return max(ratios) < 1.5 * min(ratios) and min(ratios) > 0.9


def _stencilled(planes: np.ndarray, known: np.ndarray, step: int) -> float | None:
    """Return the deviation by the first stencil that fits often enough among known pixels."""
    for stencil in STENCILS:
        spread = np.zeros([(n - 1) * step + 1 for n in stencil.shape])
        spread[::step, ::step] = stencil
        whole = np.stack([correlate(k.astype(float), spread != 0, mode="valid") for k in known])
        inside = whole > np.count_nonzero(stencil) - 0.5
        if np.count_nonzero(inside) >= ENOUGH:
            values = np.stack([correlate(p, spread, mode="valid") for p in planes])[inside]
            return float(MAD * np.median(np.abs(values)) / np.linalg.norm(stencil))
    return None
