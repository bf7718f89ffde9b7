"""One objective in two spaces: steps over images and over latents, whichever lowers F faster at the moment.

F_analysis(D(z)) = F_synthesis(z), so that a point of one formulation is a point of the other: only the
parameterisation differs, and with it the conditioning. Where one stalls the other may not: over images the
data term is a quadratic and the flow is curved, over latents it is the other way round. Both spaces keep a
solver of their own, with its memory, on the same problem, prior, φ and lam, and share the counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..objectives.base import Objective, sum_squares
from ..objectives.evaluation import Evaluation
from .base import Solver, State, inner_solver, register_solver, require_choice, require_positive, zeros
from .two_spaces import (
    IMAGES,
    LATENTS,
    SIDES,
    both_spaces,
    cross,
    lasting_space,
    own_space,
    promising_space,
    there_and_back,
)


@dataclass
class HybridState(State):
    """State of the hybrid.

    Attributes
    ----------
    images, latents : State
        Where the solver of each space stands; that of the space an image is not in is where it was left.
    space : torch.Tensor, shape (N,), int64
        Space each image is in, 0 for images and 1 for latents.
    probing : torch.Tensor, shape (N,), bool
        Whether it is there on trial.
    rates : torch.Tensor, shape (N, 2), float64
        Decrease of F per evaluation when each space was last judged.
    taken : torch.Tensor, shape (N,), int64
        Iterations since the last judgement; -1 where the space is still to be entered.
    mark : torch.Tensor, shape (N, 2), float64
        F and the number of evaluations at that judgement.
    due, gap : torch.Tensor, shape (N,), float64
        Number of evaluations from which on the other space may be tried, or, during a trial, at which it
        ends; and how many lie between trials.
    visited, stuck : torch.Tensor, shape (N, 2), bool
        Spaces that have been entered, and those in which nothing was gained since F last fell.
    """

    images: State
    latents: State
    space: torch.Tensor
    probing: torch.Tensor
    rates: torch.Tensor
    taken: torch.Tensor
    mark: torch.Tensor
    due: torch.Tensor
    gap: torch.Tensor
    visited: torch.Tensor
    stuck: torch.Tensor

    def columns(self) -> dict[str, torch.Tensor]:
        """Return ``space``: 0 over images, 1 over latents."""
        return {"space": self.space}

    def sides(self) -> tuple[State, State]:
        """Return the states over images and over latents."""
        return self.images, self.latents

    def chosen(self, name: str) -> torch.Tensor:
        """Return a field of the inner states, of shape (N,), from the space of each image."""
        over_images, over_latents = (getattr(side, name) for side in self.sides())
        return torch.where(self.space == IMAGES, over_images, over_latents)


@register_solver("hybrid")
@dataclass(frozen=True)
class Hybrid(Solver):
    """Hybrid: L-BFGS over images and over latents in turn, on one F that never rises.

    Every image starts in the space `first`. Where progress stalls, so that `probe` evaluations would lower F
    by less than the share `stall` of |F|, it tries the other space for as many evaluations as would, up to
    twice `probe`. Once the rate, the decrease of F per evaluation, is higher there it stays; else it goes on
    from where it left, as if nothing had been tried, and waits four to sixteen times as long before it tries
    again. No trial starts when less than twice `probe` evaluations are left of the limit of the run.

    What starts in the space that is not expected to be the better one in the long run (`lasting_space`) moves
    there after `opening` evaluations.

    Parameters
    ----------
    inner : str, Solver or mapping
        Solver of both spaces: a name, a solver, or ``{"name": ..., "options": {...}}``.
    window : int
        Iterations over which the rate is taken.
    probe : int
        Evaluations a trial takes: L-BFGS enters a space without memory, and is slow in the first of them.
    patience : int
        Evaluations before the first trial, and between the first and the next.
    memory : {"empty", "keep"}
        Whether the inner solver starts anew when a space is entered again, or goes on with what it had learnt
        elsewhere: that saves an evaluation, but may cost a line search many.
    first : {"auto", "images", "latents"}
        Space of the first iterations; for ``auto`` see `promising_space`.
    opening : int
        Evaluations of such a start over images; over latents, whose fit of the data is slow, half as many.
    stall : float
        Share of |F| that a trial may cost: what as many evaluations would have brought without it.

    Raises
    ------
    UnsupportedError
        At the start, if the objective has a hard constraint, for which the two formulations differ, or no
        `counterpart`.
    """

    state_type = HybridState
    takes_constraint = False

    inner: str | Solver | Mapping[str, Any] = "lbfgs"
    window: int = 10
    probe: int = 25
    patience: int = 40
    memory: str = "empty"
    first: str = "auto"
    opening: int = 60
    stall: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", inner_solver(self.inner))
        for name in ("window", "probe", "patience", "opening", "stall"):
            require_positive(name, getattr(self, name))
        require_choice("memory", self.memory, ("empty", "keep"))
        require_choice("first", self.first, ("auto", *SIDES))

    @property
    def solver(self) -> Solver:
        """The solver of both spaces."""
        assert isinstance(self.inner, Solver)
        return self.inner

    def nested(self) -> dict[str, Solver]:
        """Return the solver of each space."""
        return dict.fromkeys(SIDES, self.solver)

    def init(self, objective: Objective, u: torch.Tensor) -> HybridState:
        """Start the inner solver in the first space; the other is entered when it is tried."""
        sides, own, n = both_spaces(objective), own_space(objective), len(u)
        space = promising_space(objective)
        if self.first != "auto":
            space = torch.full_like(space, SIDES.index(self.first))
        if (space != own).any():
            away = (space != own).nonzero()[:, 0]
            # Where the start cannot be carried across, as the flow overflows, its own space comes first.
            sound = there_and_back(objective.select(away), u[away], own)[1]
            space[away[~sound]] = own
        images, latents = self._start(sides, u, own, space)
        at = _pick(space, images.evaluation, latents.evaluation)
        if own == LATENTS:
            objective.count("D")
        return HybridState(
            u.clone(),
            dataclasses.replace(at, image=objective.image(u).clone()),
            zeros(u),
            torch.where(space == IMAGES, images.grad_norm, latents.grad_norm),
            zeros(u).bool(),
            images=images,
            latents=latents,
            space=space,
            probing=zeros(u).bool(),
            rates=zeros(u)[:, None].repeat(1, 2),
            taken=zeros(u).long(),
            mark=_now(objective, at.value),
            due=torch.full_like(zeros(u), self.patience),
            gap=torch.full_like(zeros(u), self.patience),
            visited=torch.stack([space == IMAGES, space == LATENTS], 1),
            stuck=torch.zeros(n, 2, dtype=torch.bool, device=u.device),
        )

    def _start(
        self, sides: tuple[Objective, Objective], u: torch.Tensor, own: int, space: torch.Tensor
    ) -> tuple[State, State]:
        """Return the inner solver's states over images and over latents, each image started in its space."""
        n, started = len(u), dict[int, State]()
        for which in (IMAGES, LATENTS):
            index = (space == which).nonzero()[:, 0]
            if len(index) == 0:
                continue
            part = sides[which] if len(index) == n else sides[which].select(index)
            state = self.solver.init(part, u[index] if which == own else cross(part, u[index], own))
            if len(index) < n:
                rows = torch.zeros_like(space)
                rows[index] = torch.arange(len(index), device=u.device)
                state = state.select(rows)
            started[which] = state
        for which in (IMAGES, LATENTS):
            if which not in started:
                started[which] = _blank(started[1 - which], (n, *sides[which].variable_shape))
        return started[IMAGES], started[LATENTS]

    def step(self, objective: Objective, state: State) -> HybridState:
        """Take one step of the inner solver, each image in its space."""
        assert isinstance(state, HybridState)
        sides = both_spaces(objective)
        self._enter(sides, state, own_space(objective))
        for space in (IMAGES, LATENTS):
            index = (state.space == space).nonzero()[:, 0]
            if len(index) == 0:
                continue
            side = state.sides()[space]
            if len(index) == len(state.u):
                # Not a copy where nobody is elsewhere: memories of quasi-Newton methods are large.
                setattr(state, SIDES[space], self.solver.step(sides[space], side))
            else:
                side.put(index, self.solver.step(sides[space].select(index), side.select(index)))
        return self._judge(objective, state)

    def _enter(self, sides: tuple[Objective, Objective], state: HybridState, own: int) -> None:
        """Take the images that are to try another space over to it, in place."""
        for space in (IMAGES, LATENTS):
            for known in (False, True):
                known_here = (state.visited[:, space] == known) & (state.taken < 0)
                index = (known_here & (state.space == space)).nonzero()[:, 0]
                if len(index) == 0:
                    continue
                here, part = state.sides()[space], sides[space].select(index)
                # The lowest point so far is kept in the objective's own space: no pass leads back to it.
                u = state.u[index].clone() if space == own else cross(part, state.u[index], own)
                if known and self.memory == "keep":
                    evaluation = part.evaluate(u)
                    assert evaluation.grad is not None
                    here.evaluation.put(index, evaluation)
                    here.u[index], here.failed[index] = u, False
                    here.grad_norm[index] = sum_squares(evaluation.grad).sqrt()
                else:
                    here.put(index, self.solver.init(part, u))
                state.visited[index, space] = True
        state.taken = state.taken.clamp(min=0)

    def _judge(self, objective: Objective, state: HybridState) -> HybridState:
        """Return the state at the lowest point so far, and the space of each image's next step."""
        rows, other = torch.arange(len(state.u), device=state.u.device), 1 - state.space
        here = _pick(state.space, state.images.evaluation, state.latents.evaluation)
        lower = torch.isfinite(here.value) & (here.value < state.evaluation.value)
        u, evaluation, lower, astray = self._follow(objective, state, here, lower)
        now, taken, failed = _now(objective, here.value), state.taken + 1, state.chosen("failed")
        judged = failed | (taken >= self.window)
        # A point to which the flow does not lead back may be one on the way to where it does.
        failed = failed | (judged & astray)
        rate = (state.mark[:, 0] - now[:, 0]) / (now[:, 1] - state.mark[:, 1]).clamp(min=1)
        rate = torch.where(failed | ~torch.isfinite(rate), 0.0, rate.clamp(min=0))
        home = state.rates[rows, other]
        rates = state.rates.clone()
        rates[rows[judged], state.space[judged]] = rate[judged]

        stuck = torch.where(lower[:, None], False, state.stuck)
        stuck[rows, state.space] |= judged & (rate == 0)
        won = judged & state.probing & (rate > home)
        # What has no memory yet may be slow at first: a trial goes on for as long as it may cost. One whose
        # searches fail must not eat the budget.
        over = failed | (now[:, 1] >= state.due)
        lost = state.probing & over & ~won
        allowed = self.stall * here.value.abs() / rate
        idle = (now[:, 1] >= state.due) & (allowed >= self.probe)
        moves = self._moves(objective, state, now) & judged
        if objective.tally.limit is not None:
            # What would be learnt near the end could not be used.
            late = objective.tally.limit - now[:, 1] < 2 * self.probe
            idle, moves = idle & ~late, moves & ~late
        tries = judged & ~state.probing & (stuck[rows, state.space] | idle) & ~stuck[rows, other] & ~moves
        worse = (home / rate.clamp(min=1e-300)).clamp(4, 16)
        gap = torch.where(won, self.patience, torch.where(lost, worse * state.gap, state.gap))
        mark = torch.where((judged & ~lost)[:, None], now, state.mark)
        mark[lost, 0] = self._value_at(state, other)[lost]
        mark[lost, 1] = now[lost, 1]
        due = torch.where(won | lost | moves, now[:, 1] + gap, state.due)
        longest = allowed.nan_to_num(2 * self.probe).clamp(self.probe, 2 * self.probe)
        due = torch.where(tries, now[:, 1] + longest, due)
        return HybridState(
            u,
            evaluation,
            state.chosen("step"),
            state.chosen("grad_norm"),
            stuck.all(1),
            images=state.images,
            latents=state.latents,
            space=torch.where(tries | lost | moves, other, state.space),
            probing=(state.probing & ~(won | lost)) | tries,
            rates=rates,
            taken=torch.where(tries | moves, -1, torch.where(judged | lost, 0, taken)),
            mark=mark,
            due=due,
            gap=gap,
            visited=state.visited,
            stuck=stuck,
        )

    def _moves(self, objective: Objective, state: HybridState, now: torch.Tensor) -> torch.Tensor:
        """Return which images leave the space they opened in for the one that lasts."""
        lasting = lasting_space(objective)
        if self.first != "auto":
            return torch.zeros_like(state.probing)
        opened = now[:, 1] >= (self.opening if lasting == LATENTS else self.opening / 2)
        return opened & ~state.visited[:, lasting] & ~state.stuck[:, lasting]

    @staticmethod
    def _value_at(state: HybridState, space: torch.Tensor) -> torch.Tensor:
        """Return F where the solver of the given space of each image stands."""
        over_images, over_latents = (side.evaluation.value for side in state.sides())
        return torch.where(space == IMAGES, over_images, over_latents)

    def _follow(
        self, objective: Objective, state: HybridState, here: Evaluation, lower: torch.Tensor
    ) -> tuple[torch.Tensor, Evaluation, torch.Tensor, torch.Tensor]:
        """Return the objective's own variable and evaluation, where lower those of the inner solvers.

        Also which images have them, and which were to but cannot, as the flow does not lead back to where
        they are: what is lower there may not be so here.
        """
        own = own_space(objective)
        u, evaluation = state.u.clone(), state.evaluation.clone()
        astray = torch.zeros_like(lower)
        away = (lower & (state.space != own)).nonzero()[:, 0]
        if len(away):
            there = state.sides()[1 - own].u[away]
            mapped, same = there_and_back(objective.select(away), there, 1 - own)
            u[away[same]] = mapped[same]
            astray[away[~same]] = True
            lower = lower & ~astray
        evaluation.put(lower, here.select(lower))
        at_home = lower & (state.space == own)
        u[at_home] = state.sides()[own].u[at_home]
        away = (lower & (state.space != own)).nonzero()[:, 0]
        if len(away):
            evaluation.image[away] = objective.select(away).put_back(evaluation.image[away])
        return u, evaluation, lower, astray


def _spent(objective: Objective, like: torch.Tensor) -> torch.Tensor:
    """Return the evaluations of each image so far, shape (N,), float64."""
    counts = objective.tally.counts["evaluations"][objective.indices]
    return torch.as_tensor(counts, dtype=torch.float64, device=like.device)


def _now(objective: Objective, value: torch.Tensor) -> torch.Tensor:
    """Return F and the evaluations so far, shape (N, 2), float64."""
    return torch.stack([value, _spent(objective, value)], 1)


def _blank(state: State, shape: tuple[int, ...]) -> State:
    """Return a state of the same kind for variables of another shape; its numbers mean nothing yet.

    A latent has more values than its image where that is grey or was reflected.
    """
    before, after = state.u[0].numel(), math.prod(shape[1:])

    def reshaped(a: torch.Tensor) -> torch.Tensor:
        if before == after:
            return (a.reshape(shape) if a.shape == state.u.shape else a).clone()
        if a.shape == state.u.shape:
            return a.new_zeros(shape)
        # Pairs of steps and gradients are kept as rows.
        return a.new_zeros(*a.shape[:-1], after) if a.ndim > 1 and a.shape[-1] == before else a.clone()

    parts: dict[str, Any] = {}
    for f in dataclasses.fields(state):
        value = getattr(state, f.name)
        if isinstance(value, Evaluation):
            grad = None if value.grad is None else reshaped(value.grad)
            parts[f.name] = dataclasses.replace(dataclasses.replace(value, grad=None).clone(), grad=grad)
        else:
            parts[f.name] = reshaped(value)
    return type(state)(**parts)


def _pick(space: torch.Tensor, images: Evaluation, latents: Evaluation) -> Evaluation:
    """Return the evaluation of each image in the space it is in, without gradient."""
    picked = dataclasses.replace(images.clone(), grad=None)
    index = (space == LATENTS).nonzero()[:, 0]
    picked.put(index, latents.select(index))
    return picked
