"""A lasso of Haar wavelets, one of the starts of Asim et al.'s experiment (ICML 2020)."""

from __future__ import annotations

import torch

import flowsolve as fs


def haar(x: torch.Tensor, inverse: bool = False) -> torch.Tensor:
    """Return the orthonormal two-dimensional Haar transform over all levels, or its inverse.

    Parameters
    ----------
    x : torch.Tensor, shape (..., n, n)
        Images, n a power of two; the coefficients of the coarser levels stand in the upper left corner.
    inverse : bool
        Whether to go back.
    """
    x, n = x.clone(), x.shape[-1]
    sides = [n >> k for k in range(n.bit_length() - 1)]
    for side in reversed(sides) if inverse else sides:
        block = x[..., :side, :side]
        for axis in (-2, -1):
            block = _merge(block, axis) if inverse else _split(block, axis)
        x[..., :side, :side] = block
    return x


def _split(x: torch.Tensor, axis: int) -> torch.Tensor:
    x = x.movedim(axis, -1)
    even, odd = x[..., ::2], x[..., 1::2]
    return (torch.cat([even + odd, even - odd], -1) / 2**0.5).movedim(-1, axis)


def _merge(x: torch.Tensor, axis: int) -> torch.Tensor:
    low, high = x.movedim(axis, -1).chunk(2, -1)
    return (torch.stack([low + high, low - high], -1) / 2**0.5).flatten(-2).movedim(-1, axis)


def wavelet_lasso(problem: fs.InverseProblem, weight: float = 0.02, iterations: int = 200) -> torch.Tensor:
    """Return argmin ½‖Ax − y‖² + weight ‖Wx‖₁ by FISTA, W the Haar transform; (N, C, n, n).

    Parameters
    ----------
    problem : InverseProblem
        Measurements of square images.
    weight : float
        Weight of the coefficients' absolute values.
    iterations : int
        Iterations.
    """
    operator, y = problem.operator, problem.y
    step = 1 / operator.lipschitz**2
    c = haar(operator.adjoint(y)) * step
    ahead, t = c, 1.0
    for _ in range(iterations):
        gradient = haar(operator.adjoint(operator.apply(haar(ahead, inverse=True)) - y))
        moved = ahead - step * gradient
        new = moved.sign() * (moved.abs() - step * weight).clamp(min=0)
        later = (1 + (1 + 4 * t * t) ** 0.5) / 2
        ahead, c, t = new + (t - 1) / later * (new - c), new, later
    return haar(c, inverse=True)
