"""Bracketing and zoom until F has fallen enough and its slope has flattened."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...objectives.base import inner, per_image
from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ..base import require_count, require_positive
from .base import Proposal, Search, SearchResult, Trials, first_trial, next_trial, register_search


def strong_wolfe(
    objective: Searchable,
    u: torch.Tensor,
    evaluation: Evaluation,
    direction: torch.Tensor,
    step: torch.Tensor,
    *,
    sufficient_decrease: float = 1e-4,
    curvature: float = 0.9,
    max_trials: int = 20,
) -> SearchResult:
    """Find steps with sufficient decrease and |⟨∇F(u + t d), d⟩| ≤ c₂ |⟨∇F(u), d⟩|.

    Bracketing and zoom of Nocedal & Wright, *Numerical Optimization* (2006), algorithms 3.5 and 3.6, as one
    loop: `low` is the best acceptable step so far, `high` the other end of the bracket, infinite until
    there is one. A search that runs out of trials returns `low` if it decreases F.

    Parameters
    ----------
    objective, u, evaluation, direction, step, sufficient_decrease, max_trials
        As for `armijo`.
    curvature : float
        c₂, between c₁ and 1.
    """
    assert evaluation.grad is not None
    trials = Trials(objective, u, evaluation)
    slope0 = inner(evaluation.grad, direction)
    t = step.clone()
    low, f_low, m_low = torch.zeros_like(t), evaluation.value.clone(), slope0.clone()
    high, f_high, m_high = (
        torch.full_like(t, torch.inf),
        torch.full_like(t, torch.nan),
        torch.full_like(t, torch.nan),
    )
    searching = (slope0 < 0).nonzero()[:, 0]
    for _ in range(max_trials):
        if len(searching) == 0:
            break
        i = searching
        d = direction[i]
        point, new, finite = trials.evaluate(i, per_image(t[i], d) * d)
        assert new.grad is not None
        slope = inner(new.grad, d)
        armijo_holds = new.value <= evaluation.value[i] + sufficient_decrease * t[i] * slope0[i]
        lower = finite & armijo_holds & (new.value < f_low[i])
        done = lower & (slope.abs() <= curvature * slope0[i].abs())
        trials.accept(i, lower, t[i], point, new)

        # The bracket: a point that is not lower becomes its high end; a lower one its low end, and where
        # the slope there points back, the old low end becomes the high one.
        turns = lower & (slope * (high[i] - low[i]) >= 0)
        for target, source, value in ((high, low, t[i]), (f_high, f_low, new.value), (m_high, m_low, slope)):
            target[i] = torch.where(turns, source[i], torch.where(lower, target[i], value))
        previous, m_previous = low[i], m_low[i]
        for target, value in ((low, t[i]), (f_low, new.value), (m_low, slope)):
            target[i] = torch.where(lower, value, target[i])

        unbounded = torch.isinf(high[i])
        inside = _interpolate(low[i], f_low[i], m_low[i], high[i], f_high[i], m_high[i])
        beyond = _extrapolate(previous, m_previous, low[i], m_low[i])
        t[i] = torch.where(unbounded, beyond, inside)
        searching = i[~done]
    return trials.result


@register_search("strong-wolfe")
@dataclass(frozen=True)
class StrongWolfe(Search):
    """Bracketing and zoom to the strong Wolfe conditions (Nocedal & Wright, 2006, algorithms 3.5 and 3.6).

    Parameters
    ----------
    step_size : float, optional
        First trial of the first iteration; unless given, the inverse of the curvature at the start.
    sufficient_decrease, curvature : float
        Constants c₁ and c₂ of the conditions.
    max_trials : int
        Evaluations an image may spend on one search.
    """

    step_size: float | None = None
    sufficient_decrease: float = 1e-4
    curvature: float = 0.9
    max_trials: int = 20

    def __post_init__(self) -> None:
        if self.step_size is not None:
            require_positive("step_size", self.step_size)
        require_positive("curvature", self.curvature, below=1)
        require_positive("sufficient_decrease", self.sufficient_decrease, below=self.curvature)
        require_count("max_trials", self.max_trials)

    def init(
        self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first step; nothing else is remembered."""
        trial = first_trial(objective, u, evaluation, self.step_size)
        return trial, trial.new_zeros(len(u), 0)

    def search(
        self,
        objective: Searchable,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Search from the descent's own step, or from the last one."""
        found = strong_wolfe(
            objective,
            u,
            evaluation,
            proposal.direction,
            proposal.first_or(trial),
            sufficient_decrease=self.sufficient_decrease,
            curvature=self.curvature,
            max_trials=self.max_trials,
        )
        return found, next_trial(proposal, found, trial), memory


def _interpolate(
    a: torch.Tensor, fa: torch.Tensor, ma: torch.Tensor, b: torch.Tensor, fb: torch.Tensor, mb: torch.Tensor
) -> torch.Tensor:
    """Return the minimiser of the cubic through both ends of a bracket, kept a tenth away from each."""
    d1 = ma + mb - 3 * (fa - fb) / (a - b)
    root = (d1.square() - ma * mb).clamp(min=0).sqrt() * torch.sign(b - a)
    t = b - (b - a) * (mb + root - d1) / (mb - ma + 2 * root)
    width = (b - a).abs()
    left, right = torch.minimum(a, b) + 0.1 * width, torch.maximum(a, b) - 0.1 * width
    # An end that was not finite tells nothing about the curve: go close to the low end.
    fallback = torch.where(torch.isfinite(fb), (a + b) / 2, a + 0.1 * (b - a))
    t = torch.where(torch.isfinite(t), t, fallback)
    return torch.minimum(torch.maximum(t, left), right)


def _extrapolate(
    previous: torch.Tensor, m_previous: torch.Tensor, t: torch.Tensor, m: torch.Tensor
) -> torch.Tensor:
    """Return a longer step: where the secant of the slopes vanishes, 1 to 10 times the last move ahead."""
    move = t - previous
    secant = move * m / (m_previous - m)
    secant = torch.where(torch.isfinite(secant) & (m > m_previous), secant, 4 * move)
    return t + torch.minimum(torch.maximum(secant, move), 10 * move)
