"""Energies of latents: a prior term as a function of the standardised latent, the log-determinant apart.

``latent`` and ``nll`` share ‖z‖². ``typical`` replaces it by how far the norm of each level is from where the
model puts it. A standard normal in n dimensions has its highest density at 0, yet its mass lies in a thin
shell ‖z‖² ≈ n: the image of z = 0 is most likely and most untypical (Nalisnick, Matsukawa, Teh &
Lakshminarayanan, "Detecting out-of-distribution inputs to deep generative models using typicality", 2019, who
test the whole of z). Here each level is penalised, so that noise in one cannot stand for structure missing in
another. ‖z_l‖² is χ² with n_l degrees of freedom, near N(n_l, 2 n_l) by the central limit theorem; twice the
negative logarithm of that density is, up to a constant,

    ψ(z) = Σ_l (‖z_l‖² − n_l)² / (2 n_l).

The exact density of ‖z_l‖ would be infinite in energy at z = 0, the usual start; this one is a polynomial.
It depends on z alone, so it has the same value at an image and at its latent.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def latent_energy(z: Tensor, phi: str, sizes: Sequence[int]) -> Tensor:
    """Return the energy of latents without the share of the log-determinant, summed in float64.

    Parameters
    ----------
    z : Tensor
        Standardised latents (..., n).
    phi : {"latent", "nll", "typical"}
        ``latent`` and ``nll``: ‖z‖²; ``typical``: Σ (‖z_l‖² − n_l)² / (2 n_l) over the levels.
    sizes : sequence of int
        Number of values in each level's latent, finest first, as ``FlowPrior.latent_sizes`` gives them.

    Returns
    -------
    Tensor
        Shape (...), float64, differentiable.
    """
    if phi != "typical":
        return z.square().sum(-1, dtype=torch.float64)
    norms, counts = _level_norms(z, sizes)
    return ((norms - counts).square() / (2 * counts)).sum(-1)


def latent_energy_grad(z: Tensor, phi: str, sizes: Sequence[int]) -> Tensor:
    """Return the gradient of `latent_energy` with respect to z, of its shape and dtype."""
    if phi != "typical":
        return 2 * z
    norms, counts = _level_norms(z, sizes)
    return _spread(2 * (norms - counts) / counts, sizes).to(z.dtype) * z


def latent_energy_prox(v: Tensor, phi: str, sizes: Sequence[int], tau: Tensor) -> Tensor:
    """Return argmin over z of tau · energy(z) + ½‖z − v‖², in closed form.

    Parameters
    ----------
    v : Tensor
        Points (N, n).
    phi, sizes
        As for `latent_energy`.
    tau : Tensor, shape (N,), float64
        Step times weight, >= 0, of each image.

    Notes
    -----
    For ``typical`` each level shrinks or grows along itself: its norm r solves
    (2 tau / n_l) r³ + (1 − 2 tau) r = ‖v_l‖, which has one positive root.
    """
    if phi != "typical":
        return v / (1 + 2 * tau.to(v.dtype)[:, None])
    norms, counts = _level_norms(v, sizes)
    length = norms.sqrt()
    cubic, linear = 2 * tau[:, None] / counts, 1 - 2 * tau[:, None]
    # Newton from above the root, where the cubic is increasing and convex, falls onto it monotonically.
    root = torch.maximum(length, counts.sqrt()) + 1
    for _ in range(60):
        root = root - (cubic * root**3 + linear * root - length) / (3 * cubic * root.square() + linear)
    factor = torch.where(length > 0, root / length.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    return _spread(factor, sizes).to(v.dtype) * v


def _level_norms(z: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return ‖z_l‖² of each level, (..., L), float64, and the levels' sizes n_l, (L,), float64."""
    norms = [part.square().sum(-1, dtype=torch.float64) for part in z.split(list(sizes), -1)]
    return torch.stack(norms, -1), torch.tensor(sizes, dtype=torch.float64, device=z.device)


def _spread(per_level: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return numbers of levels, (..., L), repeated for every value of the level, (..., n)."""
    return per_level.repeat_interleave(torch.tensor(sizes, device=per_level.device), -1)
