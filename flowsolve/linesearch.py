"""Line searches over a batch in which every image finds its own step.

A search evaluates only the images that are still searching, so a difficult image costs its neighbours
nothing. Trials that are not finite count as failed ones and shorten the step. Each search returns the
accepted points with their evaluations; an image for which nothing acceptable was found stays where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .objectives.base import Evaluation, Objective, inner, per_image, sum_squares


@dataclass
class SearchResult:
    """Where a line search ended.

    Attributes
    ----------
    u : torch.Tensor, shape (N, ...)
        Accepted points; the start where `found` is False.
    evaluation : Evaluation
        The objective there, with gradient.
    step : torch.Tensor, shape (N,), float64
        Accepted steps; 0 where `found` is False.
    found : torch.Tensor, shape (N,), bool
        Whether a step satisfying the sufficient decrease was found.
    """

    u: torch.Tensor
    evaluation: Evaluation
    step: torch.Tensor
    found: torch.Tensor


class _Trials:
    """The best accepted point of each image, and the evaluation of new ones along a direction."""

    def __init__(
        self, objective: Objective, u: torch.Tensor, evaluation: Evaluation, direction: torch.Tensor
    ) -> None:
        self.objective, self.start, self.direction = objective, u, direction
        steps = torch.zeros(len(u), dtype=torch.float64, device=u.device)
        found = torch.zeros(len(u), dtype=torch.bool, device=u.device)
        self.result = SearchResult(u.clone(), evaluation.clone(), steps, found)

    def evaluate(
        self, index: torch.Tensor, step: torch.Tensor
    ) -> tuple[torch.Tensor, Evaluation, torch.Tensor, torch.Tensor]:
        """Return points, evaluations, slopes along the direction and finiteness at steps of `index`."""
        objective = self.objective if len(index) == len(self.objective) else self.objective.select(index)
        direction = self.direction[index]
        point = self.start[index] + per_image(step, direction) * direction
        evaluation = objective.evaluate(point)
        objective.count("trials")
        assert evaluation.grad is not None
        slope = inner(evaluation.grad, direction)
        return point, evaluation, slope, torch.isfinite(evaluation.value) & torch.isfinite(slope)

    def accept(
        self,
        index: torch.Tensor,
        which: torch.Tensor,
        step: torch.Tensor,
        point: torch.Tensor,
        new: Evaluation,
    ) -> None:
        """Keep the points of `index` where `which` is True."""
        target = index[which]
        self.result.u[target] = point[which]
        self.result.evaluation.put(target, new.select(which))
        self.result.step[target] = step[which]
        self.result.found[target] = True


def initial_step(objective: Objective, u: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
    """Return a first step along −∇F for each image, shape (N,), float64: the inverse of the local curvature.

    One gradient at a point 1e-3 (relative) down the slope gives the curvature ‖∇F(u) − ∇F(u')‖ / ‖u − u'‖.
    The flow's own curvature is many times the data term's and differs from image to image, so no formula
    from ‖A‖ can serve.
    """
    grad = evaluation.grad
    assert grad is not None
    norm = sum_squares(grad).sqrt()
    reach = 1e-3 * (1 + sum_squares(u).sqrt()) / norm.clamp(min=torch.finfo(grad.dtype).tiny)
    probe = objective.evaluate(u - per_image(reach, u) * grad)
    assert probe.grad is not None
    change = sum_squares(grad - probe.grad).sqrt()
    step = reach * norm / change
    usable = torch.isfinite(step) & (step > 0)
    return torch.where(usable, step, 1 / norm.clamp(min=1.0))


def armijo(
    objective: Objective,
    u: torch.Tensor,
    evaluation: Evaluation,
    direction: torch.Tensor,
    step: torch.Tensor,
    *,
    reference: torch.Tensor | None = None,
    sufficient_decrease: float = 1e-4,
    max_trials: int = 30,
) -> SearchResult:
    """Backtrack until F(u + t d) ≤ reference + c₁ t ⟨∇F, d⟩ (Armijo, 1966).

    Parameters
    ----------
    objective : Objective
        What is minimised.
    u, evaluation : torch.Tensor, Evaluation
        Start and the objective there.
    direction : torch.Tensor
        Descent direction d, of the shape of u.
    step : torch.Tensor, shape (N,)
        First trial of each image.
    reference : torch.Tensor, shape (N,), optional
        Value to stay below: F(u) unless given; the largest of recent values gives the non-monotone search of
        Grippo, Lampariello & Lucidi (1986).
    sufficient_decrease : float
        c₁.
    max_trials : int
        Evaluations an image may spend.
    """
    assert evaluation.grad is not None
    trials = _Trials(objective, u, evaluation, direction)
    slope0 = inner(evaluation.grad, direction)
    reference = evaluation.value if reference is None else reference
    step = step.clone()
    searching = (slope0 < 0).nonzero()[:, 0]
    for _ in range(max_trials):
        if len(searching) == 0:
            break
        t, f0, m0 = step[searching], evaluation.value[searching], slope0[searching]
        point, new, _, finite = trials.evaluate(searching, t)
        good = finite & (new.value <= reference[searching] + sufficient_decrease * t * m0)
        trials.accept(searching, good, t, point, new)
        # Minimiser of the parabola through F(u), its slope and the trial, within [0.1, 0.5] of the trial.
        parabola = -m0 * t.square() / (2 * (new.value - f0 - t * m0))
        shorter = torch.where(finite, parabola.nan_to_num(0.0), 0.1 * t)
        step[searching] = torch.minimum(torch.maximum(shorter, 0.1 * t), 0.5 * t)
        searching = searching[~good]
    return trials.result


def strong_wolfe(
    objective: Objective,
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
    trials = _Trials(objective, u, evaluation, direction)
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
        point, new, slope, finite = trials.evaluate(i, t[i])
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
