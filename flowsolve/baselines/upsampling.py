"""Larger images from smaller ones: interpolation, and its correction by the measurements."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from ..errors import UnsupportedError
from ..operators import Downsample
from ..problem import InverseProblem
from .base import registry


@registry.register("bicubic")
def bicubic(problem: InverseProblem) -> torch.Tensor:
    """Cubic-spline interpolation of the coarse image (downsampling only).

    Raises
    ------
    UnsupportedError
        If the operator is not a downsampling.
    """
    operator = problem.operator
    if not isinstance(operator, Downsample):
        raise UnsupportedError(f"bicubic: works for a Downsample, not for {type(operator).__name__}")
    matrices = []
    for axis, (fine, coarse) in enumerate(zip(operator.dim_shape[1:], operator.codim_shape[1:], strict=True)):
        factor = operator.factor[axis]
        # A mean over a block sits at the block's middle; with a kernel, pixels are taken at the offset.
        centre = (factor - 1) / 2 if operator.config()["kernel"] is None else operator.offset[axis]
        matrices.append(_interpolation(coarse, (np.arange(fine) - centre) / factor))
    rows, columns = (torch.as_tensor(m).to(problem.y) for m in matrices)
    return rows @ problem.y @ columns.T


@registry.register("back-projection")
def back_projection(problem: InverseProblem, iterations: int = 10) -> torch.Tensor:
    """Cubic interpolation, corrected until it agrees with the measurements (downsampling only).

    x ← x + A⁺(y − Ax) where A⁺ has a closed form, as for block averages: then one correction is
    exact. Otherwise x ← x + Aᵀ(y − Ax)/‖A‖², so many times.

    Parameters
    ----------
    problem : InverseProblem
        Operator and measurements.
    iterations : int
        Corrections, where one is not exact.
    """
    x, operator = bicubic(problem), problem.operator
    if operator.has_closed_form:
        return x + operator.pinv(problem.y - operator.apply(x))
    for _ in range(iterations):
        x = x + operator.adjoint(problem.y - operator.apply(x)) / operator.lipschitz**2
    return x


def _interpolation(coarse: int, positions: np.ndarray) -> np.ndarray:
    """Return the matrix of cubic-spline interpolation of `coarse` samples at `positions`, edges repeated."""
    return np.stack(
        [map_coordinates(unit, positions[None], order=3, mode="nearest") for unit in np.eye(coarse)], axis=1
    )
