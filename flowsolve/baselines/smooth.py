"""Tikhonov regularisation of the gradient, for blurs; one division in Fourier space if they are circular."""

from __future__ import annotations

import torch

from ..errors import UnsupportedError
from ..operators import Blur, Gradient, LinearOperator, SeparableBlur
from ..operators.checks import ImageScalars
from ..operators.iterative import conjugate_gradient
from ..problem import InverseProblem
from .base import registry
from .tikhonov import discrepancy_weight, oracle_weight

#: Most conjugate-gradient steps for a blur with other boundaries, and the relative residual of the normal
#: equations at which they end. A circular preconditioner makes them worse where so few steps are not enough:
#: frequencies that the blur hides come first then, not last.
STEPS, RESIDUAL = 100, 1e-5


def smooth(problem: InverseProblem, alpha: float | torch.Tensor) -> torch.Tensor:
    """Return argmin over x of ‖Ax − y‖² + alpha ‖∇x‖², ∇ the forward differences.

    They are circular where the blur is, and the minimiser is exact. Otherwise those past the last pixel are 0
    and it is approached by conjugate gradients, which stop early for weights too small to matter. A colour
    that is not measured, as by a kernel that sums to 0, is 0.

    Parameters
    ----------
    problem : InverseProblem
        Measurements of a blur.
    alpha : float or torch.Tensor, shape (N,)
        Weight > 0, one for all or one for each image.

    Raises
    ------
    ArgumentError
        If a weight is not finite and > 0, or there is not one for each image.
    UnsupportedError
        If the operator is not a blur.
    """
    operator, y = problem.operator, problem.y
    if not isinstance(operator, Blur | SeparableBlur):
        raise UnsupportedError(f"tikhonov-gradient: works for a Blur, not for {operator}")
    if operator.boundary != "circular":
        difference = Gradient(operator.dim_shape)
        weight = ImageScalars(alpha, y, "alpha", 3).over(3)
        return conjugate_gradient(
            lambda x: operator.adjoint(operator.apply(x)) + weight * difference.adjoint(difference.apply(x)),
            operator.adjoint(y),
            ndim=3,
            max_iter=STEPS,
            tol=RESIDUAL,
        ).x
    weight = ImageScalars(alpha, y.double(), "alpha", 3).over(3)
    response = _response(operator, y.device)
    power = response.abs().square()
    rows, columns = operator.dim_shape[1:]
    curved = power + weight * roughness(rows, columns, y.device)
    # Only of constants, which are not rough, can nothing be left but rounding.
    seen = curved > torch.finfo(torch.float64).eps * power.amax((1, 2), keepdim=True)
    inverse = torch.where(seen, response.conj() / torch.where(seen, curved, 1.0), 0.0)
    return torch.fft.irfft2(inverse * torch.fft.rfft2(y.double()), s=(rows, columns)).to(y.dtype)


@registry.register("tikhonov-gradient")
def smooth_discrepancy(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov of the gradient, its weight by the discrepancy principle (blurs; no truth).

    Raises
    ------
    UnsupportedError
        If the operator is not a blur.
    """
    return smooth(problem, discrepancy_weight(problem, smooth))


@registry.register("tikhonov-gradient-best")
def best_smooth(problem: InverseProblem) -> torch.Tensor:
    """Tikhonov of the gradient with the weight of highest PSNR: an oracle, it looks at the truth.

    Raises
    ------
    UnsupportedError
        If the operator is not a blur, or the problem has no truth.
    """
    return smooth(problem, oracle_weight(problem, smooth, "tikhonov-gradient-best"))


def _response(operator: LinearOperator, device: torch.device) -> torch.Tensor:
    """Return what a circular blur multiplies each frequency by, shape (C, H, W // 2 + 1)."""
    impulse = torch.zeros(operator.dim_shape, dtype=torch.float64, device=device)
    impulse[:, 0, 0] = 1
    return torch.fft.rfft2(operator.apply(impulse))


def roughness(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Return ‖∇x‖² of each frequency, circular differences, over its ‖x‖²."""
    rows = torch.fft.fftfreq(height, dtype=torch.float64, device=device)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=torch.float64, device=device)
    return 4 * (torch.sin(torch.pi * rows) ** 2 + torch.sin(torch.pi * columns) ** 2)
