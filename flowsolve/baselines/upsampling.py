"""Larger images from smaller ones: interpolation, and its correction by the measurements."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from ..errors import UnsupportedError
from ..operators import Downsample
from ..problem import InverseProblem
from .base import registry

#: Kernels whose sum is below this fraction of the sum of their absolute values count as summing to 0.
SUMS_TO_ZERO = 1e-6

#: Least part of its kernel that a coarse pixel near a zero boundary must see to be scaled up by it.
LEAST_SEEN = 0.1


@registry.register("bicubic")
def bicubic(problem: InverseProblem) -> torch.Tensor:
    """Cubic-spline interpolation of the coarse image (downsampling only).

    Each coarse pixel stands where it was measured, at the centre of mass of its block or of its channel's
    kernel, and counts divided by the weight of the kernel there. A channel whose kernel sums to 0 says
    nothing about colours and is 0.

    Raises
    ------
    UnsupportedError
        If the operator is not a downsampling.
    """
    operator, y = problem.operator, problem.y
    if not isinstance(operator, Downsample):
        raise UnsupportedError(f"bicubic: works for a Downsample, not for {type(operator).__name__}")
    gain = _gain(operator, y)
    coarse = torch.where(gain == 0, torch.zeros_like(y), y / torch.where(gain == 0, 1, gain))
    planes = []
    for channel in range(operator.dim_shape[0]):
        rows, columns = (
            torch.as_tensor(_interpolation(places, side, operator.boundary == "circular")).to(y)
            for places, side in zip(_places(operator, channel), operator.dim_shape[1:], strict=True)
        )
        planes.append(rows @ coarse[:, channel] @ columns.T)
    return torch.stack(planes, 1)


@registry.register("back-projection")
def back_projection(problem: InverseProblem, iterations: int = 10) -> torch.Tensor:
    """Cubic interpolation, corrected until it agrees with the measurements (downsampling only).

    x ← x + A⁺(y − Ax) where A⁺ has a closed form, as for block averages: then one correction is
    exact. Otherwise, and for noisy measurements with a kernel, whose inverse amplifies noise,
    x ← x + Aᵀ(y − Ax)/‖A‖², so many times.

    Parameters
    ----------
    problem : InverseProblem
        Operator and measurements.
    iterations : int
        Corrections, where one is not exact.
    """
    x, operator = bicubic(problem), problem.operator
    if operator.has_closed_form and (operator.kernel is None or problem.sigma == 0):
        return x + operator.pinv(problem.y - operator.apply(x))
    for _ in range(iterations):
        x = x + operator.adjoint(problem.y - operator.apply(x)) / operator.lipschitz**2
    return x


def _gain(operator: Downsample, y: torch.Tensor) -> torch.Tensor:
    """Return what each coarse pixel makes of a white image, shape (C, h, w); 0 where that says nothing."""
    if operator.kernel is None:
        return y.new_ones(operator.codim_shape)
    total = torch.as_tensor(operator.kernel.sum((1, 2)))
    size = torch.as_tensor(np.abs(operator.kernel).sum((1, 2)))
    total = torch.where(total.abs() > SUMS_TO_ZERO * size, total, 0.0).to(y)[:, None, None]
    # Past a zero boundary a part of the kernel, or all of it, sees nothing.
    here = operator.apply(y.new_ones(operator.dim_shape))
    return torch.where((total == 0) | (here.abs() < LEAST_SEEN * total.abs()), total, here)


def _places(operator: Downsample, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and the columns of the fine image that the coarse pixels of a channel stand for."""
    places = []
    for axis in (0, 1):
        step, fine, coarse = (
            operator.factor[axis],
            operator.dim_shape[1 + axis],
            operator.codim_shape[1 + axis],
        )
        first = operator.offset[axis] + step * np.arange(coarse)
        if operator.kernel is None:
            # The last block has the pixels that are left.
            places.append((first + np.minimum(first + step, fine) - 1) / 2)
            continue
        kernel = operator.kernel[channel % len(operator.kernel)]
        weights, size = kernel.sum(1 - axis), kernel.shape[axis]
        total, centre = weights.sum(), size // 2
        shift = 0.0
        if abs(total) > SUMS_TO_ZERO * np.abs(kernel).sum():
            # In a convolution, weights past the kernel's centre meet pixels before the place. With weights of
            # both signs the centre of mass may lie outside of the kernel.
            shift = np.clip(centre - weights @ np.arange(size) / total, centre - size + 1, centre)
        places.append(first + shift)
    return places[0], places[1]


def _interpolation(places: np.ndarray, side: int, circular: bool) -> np.ndarray:
    """Return the matrix (side, n) of cubic-spline interpolation of samples at `places`, edges repeated."""
    order = np.arange(len(places))
    if circular:
        # What was measured past one edge is from the other side.
        places = (places + 0.5) % side - 0.5
        order = np.argsort(places, kind="stable")
    inside = order[(places[order] >= -0.5) & (places[order] <= side - 0.5)]
    order = inside if len(inside) else order[:1]
    samples, fine = places[order], np.arange(side)
    index = np.interp(fine, samples, np.arange(len(samples)))
    if len(samples) > 1:
        spacing = samples[1] - samples[0], samples[-1] - samples[-2]
        index += (
            np.minimum(fine - samples[0], 0) / spacing[0] + np.maximum(fine - samples[-1], 0) / spacing[1]
        )
    matrix = np.zeros((side, len(places)))
    for column, unit in zip(order, np.eye(len(samples)), strict=True):
        matrix[:, column] = map_coordinates(unit, index[None], order=3, mode="nearest")
    return matrix
