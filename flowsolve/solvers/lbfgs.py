"""Limited-memory BFGS, every image with its own memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..errors import ArgumentError
from ..objectives.base import Objective, inner, per_image, sum_squares
from ..objectives.scaling import level_scaling
from .base import State, register_solver, require_choice, require_count
from .descent import DescentSolver, DescentState
from .pair_memory import PairMemory
from .searches import Proposal, SearchResult
from .units import Units, root_spectrum

SCALINGS: dict[str, tuple[str | None, str | None]] = {
    "auto": ("spectral", None),
    "none": (None, None),
    "levels": (None, "levels"),
    "spectral": ("spectral", None),
}
"""Units over images and over latents, for each choice of `LBFGS.scaling`."""


@dataclass
class LBFGSState(DescentState):
    """State of L-BFGS: the tensors of a `PairMemory`, and the units it works in.

    Attributes
    ----------
    scale : torch.Tensor, shape (N, 1, d)
        Weights of the units; 1 where the variable is taken as it is.
    """

    pairs: torch.Tensor
    gram: torch.Tensor
    head: torch.Tensor
    used: torch.Tensor
    scale: torch.Tensor

    @property
    def curvature(self) -> PairMemory:
        """The pairs, sharing memory with the state."""
        return PairMemory(self.pairs, self.gram, self.head, self.used)


@register_solver("lbfgs")
@dataclass(frozen=True, init=False)
class LBFGS(DescentSolver):
    """L-BFGS: quasi-Newton with a strong Wolfe line search (Nocedal & Wright, 2006, algorithm 7.5).

    A failed search empties the image's memory, and steepest descent is tried before giving up.

    Parameters
    ----------
    history : int or "auto"
        Number m of pairs kept for each image. ``auto`` is `usual_history`.
    scaling : {"auto", "none", "levels", "spectral"}
        Units to work in. Over images ``spectral`` weighs cosine frequencies by the root of the spectrum of
        photographs (`flowsolve.solvers.units.root_spectrum`): F falls faster, and images get better as soon.
        Over latents ``levels`` measures once, at the start, how strongly the objective bends along each
        level's latents, and works in units in which all levels bend alike (see
        :mod:`flowsolve.objectives.scaling`; about as dear as six evaluations). F then falls two to three
        times as fast, but the image is best much earlier and not always as good, so stop early. ``auto`` is
        ``spectral`` over images and ``none`` over latents. A choice that does not concern the variable, and
        ``none``, leave it as it is.
    search : str or Search
        ``strong-wolfe`` unless given. ``trust-region`` shortens the quasi-Newton step to the radius.
    **options
        Of the search.
    """

    state_type: ClassVar[type[State]] = LBFGSState
    offers: ClassVar[tuple[str, ...]] = ("direction", "length", "radius")

    history: int | str = "auto"
    scaling: str = "auto"

    def check(self) -> None:
        """Check the options."""
        if isinstance(self.history, str) and self.history != "auto":
            raise ArgumentError("history", repr(self.history), "an integer >= 1 or 'auto'")
        if not isinstance(self.history, str):
            require_count("history", self.history)
        require_choice("scaling", self.scaling, tuple(SCALINGS))

    def start(self, objective: Objective, state: DescentState) -> LBFGSState:
        """Start with an empty memory, in the units that are asked for."""
        history = usual_history(state.u) if isinstance(self.history, str) else self.history
        memory = PairMemory.empty(state.u, history)
        return LBFGSState(**vars(state), **vars(memory), scale=self._scale(objective, state.u))

    def propose(self, objective: Objective, state: LBFGSState) -> Proposal:
        """Return −S H S ∇F, the units being S, or −S²∇F where the memory is empty."""
        grad = state.evaluation.grad
        assert grad is not None
        units = self._units(state)
        if units is None:
            direction = -state.curvature.multiply(grad)
        else:
            direction = -units.apply(state.curvature.multiply(units.apply(grad)))
        # Rounding can spoil the recursion: where it gave no finite descent direction, take steepest descent.
        slope = inner(direction, grad)
        bad = ~(torch.isfinite(slope) & (slope < 0))
        state.used[bad] = 0
        direction[bad] = -grad[bad]
        empty = state.used == 0
        slope = inner(direction, grad)

        def within(index: torch.Tensor, radius: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            # Along d the model has slope ⟨∇F, d⟩ and, its curvature being (S H S)⁻¹, −⟨∇F, d⟩ as that.
            # Without pairs only the slope is known, and the move reaches the radius.
            d, m = direction[index], slope[index]
            longest = radius / sum_squares(d).sqrt()
            t = torch.where(empty[index], longest, longest.clamp(max=1))
            bend = torch.where(empty[index], 0.0, t / 2)
            return per_image(t, d) * d, -m * t * (1 - bend)

        first = torch.where(empty, torch.nan, torch.ones_like(state.trial))
        return Proposal(direction, first, empty, within)

    def advance(
        self, before: LBFGSState, proposal: Proposal, found: SearchResult, after: DescentState
    ) -> LBFGSState:
        """Store the new pair, or empty the memory where the search found nothing."""
        assert found.evaluation.grad is not None and before.evaluation.grad is not None
        before.used[~found.found] = 0
        memory = before.curvature
        change = found.evaluation.grad - before.evaluation.grad
        move, units = found.u - before.u, self._units(before)
        if units is not None:
            move, change = units.inverse(move), units.apply(change)
        memory.remember(move, change)
        return LBFGSState(**vars(after), **vars(memory), scale=before.scale)

    def _units(self, state: LBFGSState) -> Units | None:
        """Return the units of a state, None where the variable is taken as it is."""
        kind = self._kind(state.u)
        return None if kind is None else Units(state.scale[:, 0], spectral=kind == "spectral")

    def _kind(self, u: torch.Tensor) -> str | None:
        """Return which units variables like u are taken in: the first of a choice is for images."""
        return SCALINGS[self.scaling][0 if u.ndim > 2 else 1]

    def _scale(self, objective: Objective, u: torch.Tensor) -> torch.Tensor:
        """Return the weights of the units, shape (N, 1, d)."""
        kind, weights = self._kind(u), None
        if kind == "spectral":
            weights = root_spectrum(u).expand(len(u), -1).clone()
        elif kind == "levels":
            weights = level_scaling(objective, u)
        return (torch.ones_like(u).flatten(1) if weights is None else weights)[:, None]


def usual_history(u: torch.Tensor) -> int:
    """Return how many pairs are kept for each image of the batch u: 100, fewer where they need over 32 MiB.

    But at least 20. The more there are the lower F gets, as a flow bends differently in many directions.
    """
    pair = 2 * u[0].numel() * u.element_size()
    return max(20, min(100, 2**25 // pair))
