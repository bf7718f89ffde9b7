"""Tikhonov regularisation of the gradient, for circular blurs: one division in Fourier space."""

from __future__ import annotations

import torch

from ..errors import UnsupportedError
from ..operators import Blur
from ..problem import InverseProblem
from .base import registry
from .tikhonov import discrepancy_weight, oracle_weight


def smooth(problem: InverseProblem, alpha: float | torch.Tensor) -> torch.Tensor:
    """Return argmin over x of ‖Ax − y‖² + alpha ‖∇x‖², ∇ the circular forward differences.

    Parameters
    ----------
    problem : InverseProblem
        Measurements of a circular blur.
    alpha : float or torch.Tensor, shape (N,)
        Weight > 0, one for all or one for each image.

    Raises
    ------
    UnsupportedError
        If the operator is not a circular blur.
    """
    operator, y = problem.operator, problem.y
    if not isinstance(operator, Blur) or operator.boundary != "circular":
        raise UnsupportedError(f"tikhonov-gradient: works for a circular Blur, not for {operator}")
    height, width = operator.dim_shape[1:]
    impulse = torch.zeros(operator.dim_shape, dtype=torch.float64, device=y.device)
    impulse[:, 0, 0] = 1
    response = torch.fft.rfft2(operator.apply(impulse))
    rows = torch.fft.fftfreq(height, dtype=torch.float64, device=y.device)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=torch.float64, device=y.device)
    roughness = 4 * (torch.sin(torch.pi * rows) ** 2 + torch.sin(torch.pi * columns) ** 2)
    weight = torch.as_tensor(alpha, dtype=torch.float64, device=y.device).reshape(-1, 1, 1, 1)
    inverse = response.conj() / (response.abs() ** 2 + weight * roughness)
    restored = torch.fft.irfft2(inverse * torch.fft.rfft2(y.double()), s=(height, width))
    return restored.to(y.dtype)


@registry.register("tikhonov-gradient")
def smooth_discrepancy(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov of the gradient, its weight by the discrepancy principle (circular blur; no truth).

    Raises
    ------
    UnsupportedError
        If the operator is not a circular blur.
    """
    return smooth(problem, discrepancy_weight(problem, smooth))


@registry.register("tikhonov-gradient-best")
def best_smooth(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov of the gradient with the weight of highest PSNR: an oracle, it looks at the truth.

    Raises
    ------
    UnsupportedError
        If the operator is not a circular blur, or the problem has no truth.
    """
    return smooth(problem, oracle_weight(problem, smooth, "tikhonov-gradient-best"))
