"""Accelerated forward-backward splitting with backtracking, adaptive restart and a monotone safeguard.

F = f + g: an explicit step on the smooth f, an implicit one (the prox) on g. Which part of the objective is
which is the split: see ``Objective.splits``. The flow makes f non-convex, so convergence theory for momentum
does not apply; the safeguard keeps F from rising, as in the monotone methods of Beck & Teboulle (2009) and
Li & Lin (NeurIPS 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..objectives.base import Objective, inner, per_image, sum_squares
from ..objectives.evaluation import Evaluation
from .base import Solver, State, register_solver, require_choice, require_count, require_positive, zeros
from .searches import initial_step


@dataclass
class ForwardBackwardState(State):
    """State of forward-backward: previous iterate, step, momentum counters, consecutive misses."""

    previous: torch.Tensor
    tau: torch.Tensor
    k: torch.Tensor
    t: torch.Tensor
    misses: torch.Tensor


@dataclass
class _Candidate:
    """Result of one forward-backward step from a point."""

    u: torch.Tensor
    smooth: Evaluation
    tau: torch.Tensor
    found: torch.Tensor
    judged: bool


@register_solver("forward_backward")
@dataclass(frozen=True)
class ForwardBackward(Solver):
    """Accelerated forward-backward (FISTA): gradient of the smooth part, prox of the rest.

    Parameters
    ----------
    split : str
        ``auto``, or one of the objective's splits: over images ``prior`` (gradient of the flow, prox of the
        data term), ``data`` (gradient of both, prox of the objective's extra term) and ``flow`` (gradient of
        the data term, prox of the flow by a few inner iterations); over latents ``latent`` (gradient of the
        data term, prox of lam‖z‖²).
    momentum : {"chambolle-dossal", "fista", "none"}
        Extrapolation (k − 1)/(k + a) (Chambolle & Dossal, JOTA 2015), (t_k − 1)/t_{k+1} (Beck & Teboulle,
        2009), or none: proximal gradient.
    a : float
        Chambolle–Dossal's a; the iterates converge for convex F with a > 2.
    restart : bool
        Drop the momentum where it points uphill (gradient scheme of O'Donoghue & Candès, 2015).
    monotone : bool
        Where F would rise, redo the step from the last iterate without momentum. Nothing is redone where F
        has no value; nor is τ tried where f has none: then it stays what it was at the start.
    step_size : float, optional
        First step τ; unless given, the inverse of the local curvature of f.
    growth : float
        Factor by which τ grows after a step that needed no backtracking; 1 for the classical scheme.
    shrink : float
        Factor of backtracking.
    max_trials : int
        Evaluations an image may spend on one backtracking.
    """

    state_type = ForwardBackwardState
    takes_extra = True
    takes_fields = True

    split: str = "auto"
    momentum: str = "chambolle-dossal"
    a: float = 3.0
    restart: bool = True
    monotone: bool = True
    step_size: float | None = None
    growth: float = 1.2
    shrink: float = 0.5
    max_trials: int = 30

    #: Iterations without any decrease after which an image counts as stalled.
    PATIENCE = 4

    def __post_init__(self) -> None:
        require_choice("momentum", self.momentum, ("chambolle-dossal", "fista", "none"))
        require_positive("a", self.a)
        require_positive("shrink", self.shrink, below=1)
        require_positive("growth", self.growth)
        require_count("max_trials", self.max_trials)
        if self.step_size is not None:
            require_positive("step_size", self.step_size)

    def init(self, objective: Objective, u: torch.Tensor) -> ForwardBackwardState:
        """Move the start to where g is finite, evaluate it and choose the first step."""
        split = objective.split(self.split)
        outside = torch.isinf(split.nonsmooth(u))
        if outside.any():
            inside = split.prox(u, torch.ones_like(zeros(u)))
            u = torch.where(per_image(outside.double(), u) > 0, inside, u)
        smooth = split.smooth(u)
        assert smooth.grad is not None
        if self.step_size is None:
            tau = initial_step(split.smooth, u, smooth)
        else:
            tau = torch.full_like(smooth.value, self.step_size)
        evaluation = split.merge(u, smooth)
        norm = sum_squares(smooth.grad).sqrt()
        evaluation.grad = None
        return ForwardBackwardState(
            u, evaluation, zeros(u), norm, zeros(u).bool(), u.clone(), tau, zeros(u), zeros(u) + 1, zeros(u)
        )

    def step(self, objective: Objective, state: State) -> ForwardBackwardState:
        """Take one extrapolated step; redo it without momentum where F would rise."""
        assert isinstance(state, ForwardBackwardState)
        k = state.k + 1
        beta, t = self._extrapolation(k, state.t)
        ahead = state.u + per_image(beta, state.u) * (state.u - state.previous)
        new = self._forward_backward(objective, ahead, state.tau)
        split = objective.split(self.split)
        evaluation = split.merge(new.u, new.smooth)

        monotone = self.monotone and split.whole_has_value
        rises = ~(new.found & (evaluation.value <= state.evaluation.value))
        again = (rises & (beta > 0)).nonzero()[:, 0] if monotone else rises.new_zeros(0, dtype=torch.int64)
        if len(again):
            sub = objective.select(again)
            redone = self._forward_backward(sub, state.u[again], new.tau[again])
            evaluation.put(again, sub.split(self.split).merge(redone.u, redone.smooth))
            for target, source in ((new.u, redone.u), (new.tau, redone.tau), (new.found, redone.found)):
                target[again] = source
            ahead[again] = state.u[again]
        restarted = torch.zeros_like(rises)
        restarted[again] = True
        if self.restart:
            restarted |= inner(ahead - new.u, new.u - state.u) > 0

        missed = ~new.found
        if monotone:
            missed |= evaluation.value > state.evaluation.value
        gone = missed.nonzero()[:, 0]
        evaluation.put(gone, state.evaluation.select(gone))
        new.u[gone] = state.u[gone]
        misses = torch.where(missed, state.misses + 1, 0.0)
        moved = sum_squares(ahead - new.u).sqrt() / new.tau
        return ForwardBackwardState(
            new.u,
            evaluation,
            torch.where(missed, 0.0, new.tau),
            torch.where(missed, state.grad_norm, moved),
            misses >= self.PATIENCE,
            previous=state.u,
            tau=torch.where(missed, self.shrink * new.tau, self._grown(state.tau, new.tau, new.judged)),
            k=torch.where(restarted | missed, 0.0, k),
            t=torch.where(restarted | missed, 1.0, t),
            misses=misses,
        )

    def _extrapolation(self, k: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the momentum factor of each image and FISTA's next t."""
        t_next = (1 + (1 + 4 * t.square()).sqrt()) / 2
        if self.momentum == "fista":
            return (t - 1) / t_next, t_next
        if self.momentum == "none":
            return torch.zeros_like(k), t
        return (k - 1) / (k + self.a), t

    def _grown(self, before: torch.Tensor, after: torch.Tensor, judged: bool) -> torch.Tensor:
        # A step that nobody judges must not grow.
        return torch.where(after >= before, self.growth * after, after) if judged else after

    def _forward_backward(self, objective: Objective, point: torch.Tensor, tau: torch.Tensor) -> _Candidate:
        """Backtrack on τ until f lies below its quadratic model, each image on its own."""
        whole = objective.split(self.split)
        smooth = whole.smooth(point)
        assert smooth.grad is not None
        # Differences of f below its rounding cannot be judged; without this slack τ would shrink for ever.
        slack = 10 * torch.finfo(point.dtype).eps * smooth.value.abs()
        usable = torch.isfinite(sum_squares(smooth.grad))
        if whole.has_value:
            usable &= torch.isfinite(smooth.value)
        out = _Candidate(
            point.clone(), smooth.clone(), tau.clone(), torch.zeros_like(usable), whole.has_value
        )
        searching = usable.nonzero()[:, 0]
        for _ in range(self.max_trials):
            if len(searching) == 0:
                break
            i = searching
            part = objective if len(i) == len(objective) else objective.select(i)
            split = part.split(self.split)
            steps = out.tau[i]
            u = split.prox(point[i] - per_image(steps, point) * smooth.grad[i], steps)
            new = split.smooth(u, gradient=False)
            part.count("trials")
            move = u - point[i]
            model = smooth.value[i] + inner(smooth.grad[i], move) + sum_squares(move) / (2 * steps)
            good = torch.isfinite(new.value) & (new.value <= model + slack[i])
            if not whole.has_value:
                good = torch.isfinite(sum_squares(move))
            target = i[good]
            out.u[target] = u[good]
            out.smooth.put(target, new.select(good))
            out.found[target] = True
            out.tau[i[~good]] *= self.shrink
            searching = i[~good]
        out.smooth.grad = None
        return out
