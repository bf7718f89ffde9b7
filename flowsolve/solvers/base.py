"""The interface of a solver: options, a state of tensors, ``init`` and ``step``.

A solver never loops, stops, records or rolls back: the driver does. Its state holds only tensors whose first
axis is the batch, so the driver can drop finished images from it and store it without knowing the solver.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch

from ..errors import ArgumentError
from ..objectives.base import Evaluation, Objective
from ..registry import Registry

S = TypeVar("S", bound="State")

registry: Registry[type[Solver]] = Registry("solver", "flowsolve.solvers")
register_solver = registry.register


@dataclass
class State:
    """Where a solver stands; subclasses add their own tensors.

    Attributes
    ----------
    u : torch.Tensor, shape (N, ...)
        Variable of each image.
    evaluation : Evaluation
        The objective at `u`, with its gradient where the solver needs it.
    step : torch.Tensor, shape (N,), float64
        Step length of the last iteration.
    grad_norm : torch.Tensor, shape (N,), float64
        ‖∇F(u)‖₂, or the norm of the prox-gradient mapping for forward-backward.
    failed : torch.Tensor, shape (N,), bool
        Images for which the last iteration found no acceptable step: the driver ends them as ``stalled``.
    """

    u: torch.Tensor
    evaluation: Evaluation
    step: torch.Tensor
    grad_norm: torch.Tensor
    failed: torch.Tensor

    def select(self: S, index: torch.Tensor) -> S:
        """Return the state of the images at `index`."""
        picked: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            picked[f.name] = value.select(index) if isinstance(value, Evaluation) else value[index]
        return type(self)(**picked)


@dataclass(frozen=True)
class Solver(ABC):
    """A solver with its options as dataclass fields; see the module docstring.

    Attributes
    ----------
    state_type : type
        Class of its states, by which a run is continued from a checkpoint.
    """

    state_type: ClassVar[type[State]] = State

    @abstractmethod
    def init(self, objective: Objective, u: torch.Tensor) -> State:
        """Return the state at the start u, evaluated."""

    @abstractmethod
    def step(self, objective: Objective, state: State) -> State:
        """Return the state after one iteration; `state` is not used again."""

    def config(self) -> dict[str, Any]:
        """Return the options, JSON-able."""
        return dataclasses.asdict(self)


def make_solver(solver: str | Solver, **options: Any) -> Solver:
    """Return the solver of a name with its options, or a solver as it is.

    Raises
    ------
    ArgumentError
        If the name is unknown or the solver has no such option; the message lists what there is.
    """
    if isinstance(solver, Solver):
        if options:
            raise ArgumentError(
                "options", sorted(options), "none, when the solver is an object and not a name"
            )
        return solver
    cls = registry.get(solver, "solver")
    known = [f.name for f in dataclasses.fields(cls)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ArgumentError(f"option of solver {solver!r}", ", ".join(unknown), ", ".join(known))
    return cls(**options)


def require_positive(name: str, value: float, *, below: float = math.inf, zero: bool = False) -> None:
    """Raise `ArgumentError` unless value is a finite number in (0, below), or 0 where that is allowed."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value >= below or value < 0 or (value == 0 and not zero):
        least = ">= 0" if zero else "> 0"
        raise ArgumentError(
            name, repr(value), f"a number {least}" + ("" if math.isinf(below) else f" and < {below}")
        )


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `ArgumentError` unless value is one of `choices`."""
    if value not in choices:
        raise ArgumentError(name, repr(value), " or ".join(map(repr, choices)))


def zeros(u: torch.Tensor) -> torch.Tensor:
    """Return float64 zeros of shape (N,) beside the batch u."""
    return torch.zeros(len(u), dtype=torch.float64, device=u.device)
