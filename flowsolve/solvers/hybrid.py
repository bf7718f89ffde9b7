"""One objective in two spaces: steps over images and over latents, whichever lowers F faster at the moment.

F_analysis(D(z)) = F_synthesis(z), so that a point of one formulation is a point of the other: only the
parameterisation differs, and with it the conditioning. Where one stalls the other may not: over images the
data term is a quadratic and the flow is curved, over latents it is the other way round. Both spaces keep a
solver of their own, with its memory, on the same problem, prior, φ and lam, and share the counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import UnsupportedError
from ..objectives import Analysis, Synthesis
from ..objectives.base import Evaluation, Objective, sum_squares
from .base import (
    Solver,
    State,
    inner_solver,
    register_solver,
    require_choice,
    require_positive,
    solvers_taking,
    zeros,
)

IMAGES, LATENTS = 0, 1
SIDES = ("images", "latents")


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
    reference : torch.Tensor, shape (N,), float64
        Rate at the last decision between the spaces.
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
    reference: torch.Tensor
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

    Every image starts in the space `first`. Where its rate, the decrease of F per evaluation over `window`
    iterations, has halved since the last decision, it tries the other space for `probe` iterations, half as
    many if they bring less than a tenth of that rate. If the rate is higher there it stays; else it goes on
    from where it left, as if nothing had been tried, and waits four to sixteen times as long before it tries
    again.

    Parameters
    ----------
    inner : str, Solver or mapping
        Solver of both spaces: a name, a solver, or ``{"name": ..., "options": {...}}``.
    window, probe : int
        Iterations over which the rate is taken, and iterations of a trial.
    patience : int
        Evaluations before the first trial, and between the first and the next.
    memory : {"empty", "keep"}
        Whether the inner solver starts anew when a space is entered again, or goes on with what it had learnt
        elsewhere: that saves an evaluation, but may cost a line search many.
    first : {"auto", "images", "latents"}
        Space of the first iterations. ``auto`` takes images, where F falls faster at first, but for ``nll``
        of a flow with additive couplings: its log-determinant falls steadily over latents, less over images.

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
    probe: int = 5
    patience: int = 40
    memory: str = "empty"
    first: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", inner_solver(self.inner))
        for name in ("window", "probe", "patience"):
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
        sides, own = both_spaces(objective), own_space(objective)
        first = first_space(objective) if self.first == "auto" else SIDES.index(self.first)
        at = self.solver.init(sides[first], u if first == own else _cross(objective, u, own))
        if first != own and not torch.isfinite(at.evaluation.value).all():
            # The start cannot be carried across: the flow's inverse overflows there.
            first, at = own, self.solver.init(sides[own], u)
        blank = _blank(at, (len(u), *sides[1 - first].variable_shape))
        n, device = len(u), u.device
        visited = torch.zeros(n, 2, dtype=torch.bool, device=device)
        visited[:, first] = True
        if own == LATENTS:
            objective.count("D")
        return HybridState(
            u.clone(),
            dataclasses.replace(at.evaluation.clone(), grad=None, image=objective.image(u).clone()),
            zeros(u),
            at.grad_norm.clone(),
            zeros(u).bool(),
            images=at if first == IMAGES else blank,
            latents=at if first == LATENTS else blank,
            space=torch.full((n,), first, dtype=torch.int64, device=device),
            probing=zeros(u).bool(),
            rates=zeros(u)[:, None].repeat(1, 2),
            reference=torch.full_like(zeros(u), torch.inf),
            taken=zeros(u).long(),
            mark=_now(objective, at.evaluation.value),
            due=torch.full_like(zeros(u), self.patience),
            gap=torch.full_like(zeros(u), self.patience),
            visited=visited,
            stuck=torch.zeros_like(visited),
        )

    def step(self, objective: Objective, state: State) -> HybridState:
        """Take one step of the inner solver, each image in its space."""
        assert isinstance(state, HybridState)
        sides = both_spaces(objective)
        self._enter(sides, state)
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

    def _enter(self, sides: tuple[Objective, Objective], state: HybridState) -> None:
        """Take the images that are to try another space over to it, in place."""
        for space in (IMAGES, LATENTS):
            for known in (False, True):
                known_here = (state.visited[:, space] == known) & (state.taken < 0)
                index = (known_here & (state.space == space)).nonzero()[:, 0]
                if len(index) == 0:
                    continue
                here, part = state.sides()[space], sides[space].select(index)
                u = _cross(part, state.sides()[1 - space].u[index], 1 - space)
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
        u, evaluation = self._follow(objective, state, here, lower)
        now, taken, failed = _now(objective, here.value), state.taken + 1, state.chosen("failed")
        judged = failed | (taken >= torch.where(state.probing, self.probe, self.window))
        # A trial whose searches fail must not eat the budget.
        judged |= state.probing & (now[:, 1] >= state.due)
        rate = (state.mark[:, 0] - now[:, 0]) / (now[:, 1] - state.mark[:, 1]).clamp(min=1)
        rate = torch.where(failed | ~torch.isfinite(rate), 0.0, rate.clamp(min=0))
        home = state.rates[rows, other]
        # The first steps of a trial are without memory: its later half says what the space is good for,
        # unless next to nothing has happened by then.
        half = state.probing & (taken == self.probe // 2)
        hopeless = half & (rate < home / 10)
        judged, half = judged | hopeless, half & ~hopeless
        rates = state.rates.clone()
        rates[rows[judged], state.space[judged]] = rate[judged]

        stuck = torch.where(lower[:, None], False, state.stuck)
        stuck[rows, state.space] |= judged & (rate == 0)
        won = judged & state.probing & (rate > home)
        lost = judged & state.probing & ~won
        slow = stuck[rows, state.space] | ((now[:, 1] >= state.due) & (rate < state.reference / 2))
        tries = judged & ~state.probing & slow & ~stuck[rows, other]
        worse = (home / rate.clamp(min=1e-300)).clamp(4, 16)
        gap = torch.where(won, self.patience, torch.where(lost, worse * state.gap, state.gap))
        mark = torch.where(((judged & ~lost) | half)[:, None], now, state.mark)
        mark[lost, 0] = self._value_at(state, other)[lost]
        mark[lost, 1] = now[lost, 1]
        due = torch.where(won | lost, now[:, 1] + gap, state.due)
        due = torch.where(tries, now[:, 1] + 3 * self.probe, due)
        return HybridState(
            u,
            evaluation,
            state.chosen("step"),
            state.chosen("grad_norm"),
            stuck.all(1),
            images=state.images,
            latents=state.latents,
            space=torch.where(tries | lost, other, state.space),
            probing=(state.probing & ~judged) | tries,
            rates=rates,
            reference=torch.where(won, rate, torch.where(lost, home, state.reference)),
            taken=torch.where(tries, -1, torch.where(judged, 0, taken)),
            mark=mark,
            due=due,
            gap=gap,
            visited=state.visited,
            stuck=stuck,
        )

    @staticmethod
    def _value_at(state: HybridState, space: torch.Tensor) -> torch.Tensor:
        """Return F where the solver of the given space of each image stands."""
        over_images, over_latents = (side.evaluation.value for side in state.sides())
        return torch.where(space == IMAGES, over_images, over_latents)

    def _follow(
        self, objective: Objective, state: HybridState, here: Evaluation, lower: torch.Tensor
    ) -> tuple[torch.Tensor, Evaluation]:
        """Return the objective's own variable and evaluation, where lower those of the inner solvers."""
        own = own_space(objective)
        u, evaluation = state.u.clone(), state.evaluation.clone()
        evaluation.put(lower, here.select(lower))
        same, away = lower & (state.space == own), (lower & (state.space != own)).nonzero()[:, 0]
        u[same] = state.sides()[own].u[same]
        if len(away) == 0:
            return u, evaluation
        if own == IMAGES:
            u[away] = evaluation.image[away]
        else:
            part = objective.select(away)
            assert isinstance(part, Synthesis)
            u[away] = _cross(part, evaluation.image[away], IMAGES)
            evaluation.image[away] = part._put_back(evaluation.image[away])
        return u, evaluation


def first_space(objective: Objective) -> int:
    """Return the space in which F falls faster from the start."""
    additive = objective.prior.config.coupling == "additive"
    return LATENTS if objective.phi == "nll" and additive else IMAGES


def own_space(objective: Objective) -> int:
    """Return the space of the objective's own variable."""
    return LATENTS if isinstance(objective, Synthesis) else IMAGES


def both_spaces(objective: Objective) -> tuple[Objective, Objective]:
    """Return the analysis and the synthesis objective of the same F, one of which is `objective`.

    Raises
    ------
    UnsupportedError
        If there are no two formulations of the same F.
    """
    who = "hybrid: goes between images and latents on one F"
    objective.require_smooth("hybrid")
    if objective.constrained:
        raise UnsupportedError(
            f"{who}, but the hard constraint Ax = y (sigma = 0 with lam='map') exists over images only; "
            f"give a number for lam, or use one of {', '.join(solvers_taking('constraint'))}"
        )
    try:
        other = objective.counterpart()
    except UnsupportedError as error:
        raise UnsupportedError(f"{who}; {error}") from None
    return (objective, other) if isinstance(objective, Analysis) else (other, objective)


def _cross(objective: Objective, u: torch.Tensor, space: int) -> torch.Tensor:
    """Return what stands in the other space for the variable u of `space`."""
    with torch.no_grad():
        objective.count("E" if space == IMAGES else "D")
        return objective.prior.encode(u) if space == IMAGES else objective.prior.decode(u)


def _spent(objective: Objective, like: torch.Tensor) -> torch.Tensor:
    """Return the evaluations of each image so far, shape (N,), float64."""
    counts = objective.tally.counts["evaluations"][objective.indices]
    return torch.as_tensor(counts, dtype=torch.float64, device=like.device)


def _now(objective: Objective, value: torch.Tensor) -> torch.Tensor:
    """Return F and the evaluations so far, shape (N, 2), float64."""
    return torch.stack([value, _spent(objective, value)], 1)


def _blank(state: State, shape: tuple[int, ...]) -> State:
    """Return a state of the same kind for variables of another shape; its numbers mean nothing yet.

    Both variables have as many values, so that what has the shape of one only needs another.
    """

    def reshaped(a: torch.Tensor) -> torch.Tensor:
        return (a.reshape(shape) if a.shape == state.u.shape else a).clone()

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
