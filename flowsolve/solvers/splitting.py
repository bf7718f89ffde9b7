"""Half-quadratic splitting and ADMM: the data term and the prior by proximal steps in turn.

Neither needs a gradient, and with a denoiser in place of the prior's proximal step they are plug-and-play
(Venkatakrishnan, Bouman & Wohlberg, GlobalSIP 2013). The step τ is said as a noise level: a proximal step
of length τ on w φ, w the weight and φ = −2 log p, is the most likely image behind noise of deviation s =
√(2 w τ), so that a level s of the schedule stands for τ = s² / (2 w). With the MAP weight w = σ²/2 that is
τ = s²/σ², as in DPIR (Zhang, Li, Zuo, Zhang, Van Gool & Timofte, "Plug-and-play image restoration with deep
denoiser prior", TPAMI 2021, eq. 6 and 7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from ..errors import UnsupportedError
from ..objectives.base import Objective, sum_squares
from ..objectives.batch import per_image
from ..priors.terms import IMAGES
from .base import Solver, State, register_solver, require_count, require_positive, solver_name, zeros

LEAST = 1 / 255
"""The level that a schedule ends at where the problem says of no noise."""


@dataclass
class SplittingState(State):
    """State of a splitting: the scaled dual variable, 0 for half-quadratic splitting, and the steps taken."""

    dual: torch.Tensor
    taken: torch.Tensor


@dataclass(frozen=True)
class Splitting(Solver):
    """Proximal steps of data term and prior in turn; see `HalfQuadratic` and `ADMM`."""

    state_type = SplittingState
    takes_fields = True

    #: Whether what the two steps disagree about is remembered.
    has_dual: ClassVar[bool] = False

    sigma_start: float | None = None
    sigma_end: float | None = None
    horizon: int = 24

    def __post_init__(self) -> None:
        for name in ("sigma_start", "sigma_end"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require_count("horizon", self.horizon)

    def init(self, objective: Objective, u: torch.Tensor) -> SplittingState:
        """Evaluate the start."""
        who = solver_name(self)
        if objective.space != IMAGES:
            raise UnsupportedError(f"{who}: its proximal steps are over images; use the analysis objective")
        objective.require_no_extra(who)
        if not bool((torch.as_tensor(objective.weight) > 0).all()):
            raise UnsupportedError(f"{who}: with lam = 0 there is no prior; give lam > 0")
        return self._at(objective, u, torch.zeros_like(u), zeros(u), zeros(u), zeros(u))

    def step(self, objective: Objective, state: State) -> SplittingState:
        """Take the step of the data term, then that of the prior."""
        assert isinstance(state, SplittingState)
        taken = state.taken + 1
        tau = self._levels(objective, taken).square() / (2 * torch.as_tensor(objective.weight))
        # The dual variable is in units of τ: a longer step makes more of the same disagreement.
        ratio = torch.where(state.step > 0, tau / state.step, 1.0)
        dual = per_image(ratio, state.dual) * state.dual
        fitted = objective.prox_data(state.u - dual, tau)
        u = objective.prox_prior(fitted + dual, tau)
        dual = dual + fitted - u if self.has_dual else dual
        moved = sum_squares(u - state.u).sqrt() / tau
        return self._at(objective, u, dual, taken, tau, moved)

    def _levels(self, objective: Objective, taken: torch.Tensor) -> torch.Tensor:
        """Return the level of each image's step number `taken`, in equal ratios."""
        last = max(objective.problem.sigma, LEAST) if self.sigma_end is None else self.sigma_end
        first = last if self.sigma_start is None else self.sigma_start
        done = ((taken - 1) / max(self.horizon - 1, 1)).clamp(max=1)
        return torch.exp((1 - done) * math.log(first) + done * math.log(last))

    def _at(
        self,
        objective: Objective,
        u: torch.Tensor,
        dual: torch.Tensor,
        taken: torch.Tensor,
        tau: torch.Tensor,
        moved: torch.Tensor,
    ) -> SplittingState:
        evaluation = objective.evaluate(u, gradient=False)
        return SplittingState(u, evaluation, tau, moved, zeros(u).bool(), dual, taken)


@register_solver("hqs")
@dataclass(frozen=True)
class HalfQuadratic(Splitting):
    """Half-quadratic splitting: proximal steps of data term and prior in turn, at falling noise levels.

    Parameters
    ----------
    sigma_start : float
        Noise level of the first step.
    sigma_end : float, optional
        That of the last one; the problem's, or 1/255 where that is more, unless given.
    horizon : int
        Steps from the one to the other, in equal ratios; further steps stay there.
    """

    sigma_start: float | None = 49 / 255


@register_solver("admm")
@dataclass(frozen=True)
class ADMM(Splitting):
    """Alternating directions (ADMM): the same with a dual variable, at one noise level or falling ones.

    Boyd, Parikh, Chu, Peleato & Eckstein, "Distributed optimization and statistical learning via the
    alternating direction method of multipliers", 2011, section 3.1.1, with a scaled dual variable.

    Parameters
    ----------
    sigma_start : float, optional
        Noise level of the first step; `sigma_end` unless given. The scaled dual
        variable is rescaled when the level changes.
    sigma_end : float, optional
        That of the last one; the problem's, or 1/255 where that is more, unless given.
    horizon : int
        Steps from the one to the other, in equal ratios; further steps stay there.
    """

    has_dual: ClassVar[bool] = True
