"""What a search is, what a descent offers it, and the trials that searches make.

A search evaluates only the images that are still searching, so a difficult image costs its neighbours
nothing. Trials that are not finite count as failed ones and shorten the step. An image for which nothing
acceptable was found stays where it was.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ...errors import ArgumentError
from ...objectives.base import per_image, sum_squares
from ...objectives.evaluation import Evaluation
from ...objectives.searchable import Searchable
from ...registry import Registry

registry: Registry[type[Search]] = Registry("search", "flowsolve.searches")
register_search = registry.register


@dataclass
class SearchResult:
    """Where a search ended.

    Attributes
    ----------
    u : torch.Tensor, shape (N, ...)
        Accepted points; the start where `found` is False.
    evaluation : Evaluation
        The objective there, with gradient.
    step : torch.Tensor, shape (N,), float64
        Accepted steps; 0 where `found` is False.
    found : torch.Tensor, shape (N,), bool
        Whether an acceptable step was found.
    """

    u: torch.Tensor
    evaluation: Evaluation
    step: torch.Tensor
    found: torch.Tensor


@dataclass
class Proposal:
    """Where a descent would like to go.

    Attributes
    ----------
    direction : torch.Tensor, shape (N, ...)
        Direction d, of which the step t makes the point u + t d.
    first : torch.Tensor, shape (N,), float64
        Step the descent would take by itself; NaN where only the search can know.
    last_resort : torch.Tensor, shape (N,), bool
        Images whose direction is steepest descent: where the search fails there, nothing is left to try.
    within : callable, optional
        ``within(index, radius) -> (move, predicted)``: for the images at `index`, the minimiser of a
        quadratic model of F within ‖move‖ ≤ radius, and by how much the model falls, shape (len(index),).
    damped : callable, optional
        ``damped(index, damping) -> (move, predicted)``: the same with damping/2 · ‖move‖² added to the model.
    """

    direction: torch.Tensor
    first: torch.Tensor
    last_resort: torch.Tensor
    within: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None
    damped: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None

    def first_or(self, trial: torch.Tensor) -> torch.Tensor:
        """Return the step the descent would take by itself, or the search's `trial` where it knows none."""
        return torch.where(torch.isfinite(self.first), self.first, trial)


@dataclass(frozen=True)
class Search(ABC):
    """A rule for the step, its options the dataclass fields.

    Between iterations a search remembers two tensors, which the solver keeps in its state: ``trial``, shape
    (N,), its first trial of the next iteration, and ``memory``, shape (N, k), whatever else it needs.

    Attributes
    ----------
    needs : str
        What it asks of a descent: a ``direction``; that its directions keep a ``length`` for which one step
        serves; that they are minus the ``gradient``; a model to minimise within a ``radius``; or a model that
        takes a ``damping``.
    compares_values : bool
        Whether it judges steps by F, which must then have a value.
    """

    needs: ClassVar[str] = "direction"
    compares_values: ClassVar[bool] = True

    @abstractmethod
    def init(
        self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first trial and memory, float64, of each image at the start u."""

    @abstractmethod
    def search(
        self,
        objective: Searchable,
        u: torch.Tensor,
        evaluation: Evaluation,
        proposal: Proposal,
        trial: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[SearchResult, torch.Tensor, torch.Tensor]:
        """Return the point found from u, and the next iteration's trial and memory."""

    def config(self) -> dict[str, Any]:
        """Return the options, JSON-able."""
        return dataclasses.asdict(self)


class Trials:
    """The best accepted point of each image, and the evaluation of new ones."""

    def __init__(self, objective: Searchable, u: torch.Tensor, evaluation: Evaluation) -> None:
        self.objective, self.start = objective, u
        steps = torch.zeros(len(u), dtype=torch.float64, device=u.device)
        found = torch.zeros(len(u), dtype=torch.bool, device=u.device)
        self.result = SearchResult(u.clone(), evaluation.clone(), steps, found)

    def evaluate(
        self, index: torch.Tensor, move: torch.Tensor
    ) -> tuple[torch.Tensor, Evaluation, torch.Tensor]:
        """Return points, evaluations and whether these are finite, at u + move of the images `index`."""
        whole = len(index) == len(self.objective)
        objective = self.objective if whole else self.objective.select(index)
        point = self.start[index] + move
        evaluation = objective.evaluate(point)
        objective.count("trials")
        assert evaluation.grad is not None
        finite = torch.isfinite(evaluation.value) & torch.isfinite(sum_squares(evaluation.grad))
        return point, evaluation, finite

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


def initial_step(
    evaluate: Callable[[torch.Tensor], Evaluation], u: torch.Tensor, evaluation: Evaluation
) -> torch.Tensor:
    """Return a first step along −∇F for each image, shape (N,), float64: the inverse of the local curvature.

    One gradient at a point 1e-3 (relative) down the slope gives the curvature ‖∇F(u) − ∇F(u')‖ / ‖u − u'‖.
    The flow's own curvature is many times the data term's and differs from image to image, so no formula
    from ‖A‖ can serve.
    """
    grad = evaluation.grad
    assert grad is not None
    norm = sum_squares(grad).sqrt()
    reach = 1e-3 * (1 + sum_squares(u).sqrt()) / norm.clamp(min=torch.finfo(grad.dtype).tiny)
    probe = evaluate(u - per_image(reach, u) * grad)
    assert probe.grad is not None
    change = sum_squares(grad - probe.grad).sqrt()
    step = reach * norm / change
    usable = torch.isfinite(step) & (step > 0)
    return torch.where(usable, step, 1 / norm.clamp(min=1.0))


def first_trial(
    objective: Searchable, u: torch.Tensor, evaluation: Evaluation, step_size: float | None
) -> torch.Tensor:
    """Return `step_size` for each image, or `initial_step` where it is None."""
    if step_size is None:
        return initial_step(objective.evaluate, u, evaluation)
    return torch.full_like(evaluation.value, step_size)


def next_trial(
    proposal: Proposal, found: SearchResult, trial: torch.Tensor, factor: float = 1.0
) -> torch.Tensor:
    """Return `factor` times the step found, or `trial` where the descent had proposed the step itself.

    A step along a direction with a length of its own says nothing about directions without one.
    """
    unscaled = found.found & ~torch.isfinite(proposal.first)
    return torch.where(unscaled, factor * found.step, trial)


def make_search(search: object, offers: Collection[str], who: str, **options: Any) -> Search:
    """Return the search of a name with its options, or a search as it is with some options changed.

    Parameters
    ----------
    search : str or Search
        A registered name, or an object.
    offers : collection of str
        What the descent offers; see `Search.needs`.
    who : str
        The descent, for messages.
    **options
        Options of the search.

    Raises
    ------
    ArgumentError
        If the descent cannot take the search, or the search has no such option; the message lists what works.
    """
    works = [name for name in registry if registry.get(name).needs in offers]
    name = search_name(search)
    cls = registry.get(search, "search") if isinstance(search, str) else type(search)
    if not issubclass(cls, Search) or cls.needs not in offers:
        given = repr(name) if isinstance(search, str) else name
        raise ArgumentError(f"search of {who}", given, ", ".join(map(repr, works)))
    known = [f.name for f in dataclasses.fields(cls)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        accepted = ", ".join(known) or "none"
        raise ArgumentError(f"option of search {name!r}", ", ".join(unknown), accepted)
    return dataclasses.replace(search, **options) if isinstance(search, Search) else cls(**options)


def search_name(search: object) -> str:
    """Return the name that a search is registered under, or its class's name."""
    if isinstance(search, str):
        return search
    return next((name for name in registry if registry.get(name) is type(search)), type(search).__name__)
