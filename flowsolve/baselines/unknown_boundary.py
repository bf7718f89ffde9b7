"""Total variation for a blur whose boundary is not known: an image larger than what was measured."""

from __future__ import annotations

import torch

from ..operators import Gradient, ValidBlur
from ..problem import InverseProblem
from .smooth import roughness

#: Penalties of the alternating directions: on gradients, 1 over one that is an edge; on blurred pixels, in
#: units of the data term's weight, but never beyond the last number.
GRADIENTS, PIXELS, MOST = 20.0, 0.3, 3e4

#: Iterations, after which photographs change by less than 0.03 dB.
ITERATIONS = 120


def masked_total_variation(
    problem: InverseProblem, weight: float, iterations: int = ITERATIONS
) -> torch.Tensor:
    """Return argmin over x of ½‖Ax − y‖² + weight · TV(x), A a `ValidBlur`; TV(x) subject to Ax = y for 0.

    Alternating directions with the blurred image and the gradient split off: every step is then a division in
    Fourier space, or pixel by pixel (Almeida and Figueiredo, IEEE Trans. Image Process. 22, 2013).

    Parameters
    ----------
    problem : InverseProblem
        A problem whose operator is a `ValidBlur`.
    weight : float
        Weight, >= 0.
    iterations : int
        Iterations.
    """
    operator, y = problem.operator, problem.y
    assert isinstance(operator, ValidBlur)
    rows, columns = operator.frame
    data = 1 / weight if weight > 0 else float("inf")
    pixels, edges = min(PIXELS * data, MOST), GRADIENTS
    spectrum = operator.circular.spectrum.like(y)
    shape, difference = operator.dim_shape[-2:], Gradient(operator.dim_shape, "circular")
    inverse = 1 / (pixels * spectrum.abs().square() + edges * roughness(*shape, y.device).to(y.dtype))
    x = _extended(operator, y)
    blurred, field = operator.circular.apply(x), difference.apply(x)
    at_pixels, at_edges = torch.zeros_like(x), torch.zeros_like(field)
    # How much of the measurement a blurred pixel takes on, and how much of the image.
    share = data / (data + pixels) if weight > 0 else 1.0
    for _ in range(iterations):
        wanted = pixels * spectrum.conj() * torch.fft.rfft2(blurred - at_pixels)
        wanted = wanted + edges * torch.fft.rfft2(difference.adjoint(field - at_edges))
        x = torch.fft.irfft2(inverse * wanted, s=shape)
        at_pixels = at_pixels + operator.circular.apply(x)
        blurred = at_pixels.clone()
        blurred[..., rows, columns] += share * (y - blurred[..., rows, columns])
        at_pixels = at_pixels - blurred
        at_edges = at_edges + difference.apply(x)
        field = _shrunk(at_edges, 1 / edges)
        at_edges = at_edges - field
    return x


def _extended(operator: ValidBlur, y: torch.Tensor) -> torch.Tensor:
    """Return the measurements as an image, its edges repeated beyond the frame."""
    (rows, columns), (_, height, width) = operator.frame, operator.dim_shape
    beyond = (columns.start, width - columns.stop, rows.start, height - rows.stop)
    return torch.nn.functional.pad(y, beyond, mode="replicate")


def _shrunk(field: torch.Tensor, by: float) -> torch.Tensor:
    """Return the prox of the coupled norm; differences across the border, which are none, cost nothing."""
    length = field.square().sum((-4, -3), keepdim=True).sqrt()
    out = field * (1 - by / length.clamp(min=by))
    out[:, 0, :, -1, :] = field[:, 0, :, -1, :]
    out[:, 1, :, :, -1] = field[:, 1, :, :, -1]
    return out
