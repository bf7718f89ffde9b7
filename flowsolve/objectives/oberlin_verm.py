"""The two losses of Oberlin & Verm's code (ICIP 2021), which are not quite those of their paper.

With the factor ½ that F has here (an optimiser that scales its steps does not see it) they are

    analysis   ½‖Ax − y‖² + lam ‖E(clip(x))‖² + (k/2) ⟨c, x⟩²,
    synthesis  ½‖AD(z) − y‖² + lam ‖z‖² + (k/2) ⟨c, D(z)⟩².

clip is torch's Hardtanh on images centred at 0, that is, onto [−½, 3/2] here; the flow alone sees the
clipped image. c is a checkerboard of ±1, for super-resolution, whose squared sum suppresses the pattern that
the blocks of the mean leave free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import ArgumentError
from ..numbers import as_count
from ..priors.base import Prior
from ..problem import InverseProblem
from .analysis import Analysis
from .base import Objective, per_image
from .evaluation import Evaluation
from .split import Split
from .synthesis import Synthesis

#: What Hardtanh leaves as it is, in images in [0, 1].
CLIP = (-0.5, 1.5)


class _Checkerboard(Objective):
    """Adds (weight / 2) ⟨c, x⟩² to the data term; c alternates between blocks of `block` x `block` pixels."""

    def __init__(
        self,
        problem: InverseProblem,
        prior: Prior,
        *,
        checkerboard: float = 0.0,
        block: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(problem, prior, **options)
        if not checkerboard >= 0:
            raise ArgumentError("checkerboard", checkerboard, "a number >= 0")
        block = as_count(block, "block", least=1)
        self.checkerboard, self.block = float(checkerboard), block
        rows, columns = (torch.arange(side) // block for side in self.shape[1:])
        odd = (rows[:, None] + columns) % 2
        self._pattern = (2 * odd - 1).to(self.problem.y).expand(self.shape)

    def options(self) -> dict[str, Any]:
        """Return the weight and the block size of the checkerboard."""
        return super().options() | {"checkerboard": self.checkerboard, "block": self.block}

    def splits(self) -> dict[str, Callable[[], Split]]:
        """Return none: the published losses are for gradient methods."""
        return {}

    def _data_term(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value, residual = super()._data_term(x)
        return value + self.checkerboard / 2 * self._sum(x).square(), residual

    def _pull_back(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        weighted = per_image(self.checkerboard * self._sum(x), x)
        return super()._pull_back(x, residual) + weighted * self._pattern

    def data_value(self, x: torch.Tensor) -> torch.Tensor:
        """Return the data term with the checkerboard's."""
        return super().data_value(x) + self.checkerboard / 2 * self._sum(x).square()

    def _sum(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self._pattern).flatten(1).sum(1, dtype=torch.float64)


class OberlinVermAnalysis(_Checkerboard, Analysis):
    """The code's analysis loss; its prior should have raw latents (`flowsolve.flows.raw.raw_prior`).

    Parameters
    ----------
    problem, prior, lam
        See `Objective`; lam a number, half the constant of the code's loss.
    checkerboard : float
        Weight k of the checkerboard penalty.
    block : int
        Side of its fields, in pixels.
    """

    name = "oberlin-verm-analysis"
    default_phi = "latent"

    def _evaluate_prior(self, x: torch.Tensor, gradient: bool) -> Evaluation:
        evaluation = super()._evaluate_prior(x.clamp(*CLIP), gradient)
        evaluation.image = x.detach()
        if evaluation.grad is not None:
            # As Hardtanh's derivative: 0 outside, and on the edges.
            evaluation.grad *= (x > CLIP[0]) & (x < CLIP[1])
        return evaluation


class OberlinVermSynthesis(_Checkerboard, Synthesis):
    """The code's synthesis loss; parameters as `OberlinVermAnalysis`, the prior with its own latents."""

    name = "oberlin-verm-synthesis"

    def counterpart_type(self) -> type[Objective]:
        """Return the analysis of the same F, without the clip of the code's own."""
        return CheckerboardAnalysis


class CheckerboardAnalysis(_Checkerboard, Analysis):
    """The code's synthesis loss over images, F(E(x)); parameters as `OberlinVermAnalysis`.

    Not in the publication, whose analysis loss clips the image, so that its minima are others.
    """

    name = "checkerboard-analysis"
    default_phi = "latent"

    def counterpart_type(self) -> type[Objective]:
        """Return `OberlinVermSynthesis`."""
        return OberlinVermSynthesis
