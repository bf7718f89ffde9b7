"""The loss of Asim et al.'s code (GlowIP, ICML 2020): its penalty is the norm of z, not the square of it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .split import Split
from .synthesis import Synthesis


class AsimSynthesis(Synthesis):
    """F(z) = ½‖A D(z) − y‖² + lam ‖z‖.

    The paper writes ‖z‖²; the published numbers are from ‖z‖, whose gradient at z = 0 is taken as 0.

    Parameters
    ----------
    problem, prior, lam
        See `Objective`; lam is half of the code's γ, which stands beside a data term without the ½.
    """

    name = "asim-synthesis"

    def splits(self) -> dict[str, Callable[[], Split]]:
        """Return none: the published loss is for gradient methods."""
        return {}

    def _energy(self, z: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(z, dim=-1, dtype=torch.float64)

    def _energy_grad(self, z: torch.Tensor) -> torch.Tensor:
        norm = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
        return torch.where(norm > 0, z / norm.clamp(min=torch.finfo(z.dtype).tiny), 0.0)
