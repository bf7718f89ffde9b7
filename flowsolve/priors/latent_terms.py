"""The terms of a flow's latents that come with the package: ``latent``, ``nll`` and ``typical``.

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
from typing import ClassVar

import torch
from torch import Tensor

from .terms import LatentTerm, register_prior_term


@register_prior_term("latent")
class SquaredNorm(LatentTerm):
    """‖E(x)‖² (Oberlin & Verm, ICIP 2021, eq. 4)."""

    eases_images: ClassVar[bool] = False

    def value(self, z: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return ‖z‖²."""
        return z.square().sum(-1, dtype=torch.float64)

    def grad(self, z: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return 2 z."""
        return 2 * z

    def prox(self, v: Tensor, sizes: Sequence[int], tau: Tensor) -> Tensor:
        """Return v / (1 + 2 tau)."""
        return v / (1 + 2 * tau.to(v.dtype)[:, None])

    def curvature(self, z: Tensor, v: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return 2 v."""
        return 2 * v


@register_prior_term("nll")
class NegativeLogLikelihood(SquaredNorm):
    """‖E(x)‖² − 2 log|det J_E(x)|: twice the negative log-density up to a constant."""

    needs_log_det: ClassVar[bool] = True
    eases_images: ClassVar[bool] = True


@register_prior_term("typical")
class Typical(LatentTerm):
    """Σ (‖z_l‖² − n_l)² / (2 n_l) over levels: how far each norm is from where the model puts it."""

    def value(self, z: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the sum over the levels."""
        norms, counts = _level_norms(z, sizes)
        return ((norms - counts).square() / (2 * counts)).sum(-1)

    def grad(self, z: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return 2 (‖z_l‖² − n_l) / n_l · z_l."""
        norms, counts = _level_norms(z, sizes)
        return _spread(2 * (norms - counts) / counts, sizes).to(z.dtype) * z

    def prox(self, v: Tensor, sizes: Sequence[int], tau: Tensor) -> Tensor:
        """Return the minimiser, in closed form.

        Each level shrinks or grows along itself: its norm r solves (2 tau / n_l) r³ + (1 − 2 tau) r = ‖v_l‖,
        which has one positive root.
        """
        norms, counts = _level_norms(v, sizes)
        length = norms.sqrt()
        cubic, linear = 2 * tau[:, None] / counts, 1 - 2 * tau[:, None]
        # Newton from above the root, where the cubic is increasing and convex, falls onto it monotonically.
        root = torch.maximum(length, counts.sqrt()) + 1
        for _ in range(60):
            root = root - (cubic * root**3 + linear * root - length) / (3 * cubic * root.square() + linear)
        factor = torch.where(length > 0, root / length.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
        return _spread(factor, sizes).to(v.dtype) * v

    def curvature(self, z: Tensor, v: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return Σ 2 ∇r ∇rᵀ v with r = (‖z_l‖² − n_l) / √(2 n_l): in each level 4 z_l ⟨z_l, v_l⟩ / n_l."""
        parts = zip(z.split(list(sizes), -1), v.split(list(sizes), -1), sizes, strict=True)
        along = [(a, 4 / n * (a * b).sum(-1, keepdim=True, dtype=torch.float64)) for a, b, n in parts]
        return torch.cat([factor.to(a.dtype) * a for a, factor in along], -1)


def _level_norms(z: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return ‖z_l‖² of each level, (..., L), float64, and the levels' sizes n_l, (L,), float64."""
    norms = [part.square().sum(-1, dtype=torch.float64) for part in z.split(list(sizes), -1)]
    return torch.stack(norms, -1), torch.tensor(sizes, dtype=torch.float64, device=z.device)


def _spread(per_level: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return numbers of levels, (..., L), repeated for every value of the level, (..., n)."""
    return per_level.repeat_interleave(torch.tensor(sizes, device=per_level.device), -1)
