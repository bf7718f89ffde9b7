"""What all descents share: a direction from the state, a step from any search that fits.

A descent says where to go, a search how far (the two are apart as in Rader, Lyons & Kidger's Optimistix,
2024). A descent is a subclass of `DescentSolver` with one method, `DescentSolver.propose`, and `advance`
where it remembers something; a search is a file of ``searches``.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ..errors import ArgumentError
from ..objectives.base import sum_squares
from ..objectives.searchable import Descendable
from .base import Solver, State, registered_name, zeros
from .searches import Proposal, Search, SearchResult, make_search
from .searches.base import search_name


@dataclass
class DescentState(State):
    """State of a descent with a search; descents that remember something add their own tensors.

    Attributes
    ----------
    trial : torch.Tensor, shape (N,), float64
        The search's first trial of the next iteration: a step, a radius or a damping.
    memory : torch.Tensor, shape (N, k), float64
        What else the search remembers.
    """

    trial: torch.Tensor
    memory: torch.Tensor


@dataclass(frozen=True, init=False)
class DescentSolver(Solver):
    """A descent with a search; options of both are given to the constructor by name.

    Parameters
    ----------
    search : str or Search
        Name of a registered search, or an object; unless given, the descent's usual one.
    **options
        Fields of the descent, and options of the search.

    Attributes
    ----------
    offers : tuple of str
        What searches may need that this descent has; see `Search.needs`.
    default_search : str
        The search unless another is given.
    search_defaults : dict
        Values of search options that suit this descent better than the search's own.

    Raises
    ------
    ArgumentError
        If an option is neither the descent's nor the search's, or the search needs what the descent lacks.
    """

    state_type: ClassVar[type[State]] = DescentState
    offers: ClassVar[tuple[str, ...]] = ("direction", "length")
    default_search: ClassVar[str] = "strong-wolfe"
    search_defaults: ClassVar[dict[str, Any]] = {}

    search: Search

    def __init__(self, **options: Any) -> None:
        own, search = self._split(options)
        for f in dataclasses.fields(self):
            if f.name != "search":
                object.__setattr__(self, f.name, own.get(f.name, f.default))
        object.__setattr__(self, "search", search)
        self.check()

    def does_without_values(self) -> bool:
        """Return whether descent and search do."""
        return self.takes_fields and not self.search.compares_values

    def check(self) -> None:
        """Raise `ArgumentError` if one of the descent's own options has a bad value."""

    @abstractmethod
    def propose(self, objective: Any, state: Any) -> Proposal:
        """Return where to go from the state."""

    def start(self, objective: Any, state: DescentState) -> DescentState:
        """Return the first state, with what the descent remembers, of a plain one at the start."""
        return state

    def advance(self, before: Any, proposal: Proposal, found: SearchResult, after: DescentState) -> Any:
        """Return the next state, with what the descent remembers, of a plain one at the point found."""
        return after

    def init(self, objective: Descendable, u: torch.Tensor) -> DescentState:
        """Evaluate the start and prepare search and descent."""
        objective.require_smooth(registered_name(type(self)))
        evaluation = objective.evaluate(u)
        assert evaluation.grad is not None
        trial, memory = self.search.init(objective, u, evaluation)
        norm = sum_squares(evaluation.grad).sqrt()
        state = DescentState(u, evaluation, zeros(u), norm, zeros(u).bool(), trial, memory)
        return self.start(objective, state)

    def step(self, objective: Descendable, state: State) -> DescentState:
        """Search along the descent's direction.

        An image whose search found nothing stays; it has failed if its direction was steepest descent.
        """
        assert isinstance(state, DescentState)
        proposal = self.propose(objective, state)
        found, trial, memory = self.search.search(
            objective, state.u, state.evaluation, proposal, state.trial, state.memory
        )
        assert found.evaluation.grad is not None
        norm = sum_squares(found.evaluation.grad).sqrt()
        failed = ~found.found & proposal.last_resort
        after = DescentState(found.u, found.evaluation, found.step, norm, failed, trial, memory)
        return self.advance(state, proposal, found, after)

    def config(self) -> dict[str, Any]:
        """Return the descent's and the search's options, JSON-able."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "search"}
        return {**own, "search": search_name(self.search), **self.search.config()}

    @classmethod
    def accepted_options(cls, **options: Any) -> list[str]:
        """Return the names of the descent's options and of those of the search that is meant."""
        search = make_search(options.get("search", cls.default_search), cls.offers, registered_name(cls))
        own = [f.name for f in dataclasses.fields(cls) if f.name != "search"]
        return [*own, "search", *(f.name for f in dataclasses.fields(search))]

    @classmethod
    def _split(cls, options: dict[str, Any]) -> tuple[dict[str, Any], Search]:
        """Return the descent's own options and the search made of the rest."""
        name = registered_name(cls)
        accepted = cls.accepted_options(**options)
        unknown = sorted(set(options) - set(accepted))
        if unknown:
            raise ArgumentError(f"option of solver {name!r}", ", ".join(unknown), ", ".join(accepted))
        fields = {f.name for f in dataclasses.fields(cls)}
        own = {key: value for key, value in options.items() if key in fields and key != "search"}
        rest = {key: value for key, value in options.items() if key not in fields}
        search = options.get("search", cls.default_search)
        if isinstance(search, str):
            usual = {key: value for key, value in cls.search_defaults.items() if key in accepted}
            rest = usual | rest
        return own, make_search(search, cls.offers, name, **rest)


def steepest(state: DescentState) -> Proposal:
    """Return minus the gradient, of a length that only the search can know."""
    assert state.evaluation.grad is not None
    unknown = torch.full_like(state.trial, torch.nan)
    return Proposal(-state.evaluation.grad, unknown, torch.ones_like(state.failed))
