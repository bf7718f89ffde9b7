"""The interface of a solver: options, a state of tensors, ``init`` and ``step``.

A solver never loops, stops, records or rolls back: the driver does. Its state holds only tensors whose first
axis is the batch, or states of other solvers, so the driver can drop finished images from it and store it
without knowing the solver.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch

from ..errors import ArgumentError, FlowsolveError
from ..numbers import as_count, as_python, plain, to_float
from ..objectives.base import Objective
from ..objectives.evaluation import Evaluation
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
            picked[f.name] = value.select(index) if isinstance(value, Evaluation | State) else value[index]
        return type(self)(**picked)

    def put(self: S, index: torch.Tensor, other: S) -> None:
        """Overwrite the images at `index` with those of `other`, in place."""
        for f in dataclasses.fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            if isinstance(mine, Evaluation | State):
                mine.put(index, theirs)
            else:
                mine[index] = theirs

    def columns(self) -> dict[str, torch.Tensor]:
        """Return what the trace records of this state beside the usual columns, each of shape (N,)."""
        return {}

    def ends(self) -> list[str]:
        """Return the status with which the solver itself ends each image, or "" where it goes on."""
        return ["stalled" if failed else "" for failed in self.failed.tolist()]

    def provisional(self) -> torch.Tensor | None:
        """Return which images still change what they minimise, shape (N,): they cannot have converged."""
        return None


@dataclass(frozen=True)
class Solver(ABC):
    """A solver with its options as dataclass fields; see the module docstring.

    Attributes
    ----------
    state_type : type
        Class of its states, by which a run is continued from a checkpoint.
    takes_extra, takes_constraint, takes_fields : bool
        Whether it takes an objective with an `extra` term, one with a hard constraint, and one whose F has no
        value: a field of gradients, or proximal steps, as denoisers give.
    """

    state_type: ClassVar[type[State]] = State
    takes_extra: ClassVar[bool] = False
    takes_constraint: ClassVar[bool] = True
    takes_fields: ClassVar[bool] = False

    def does_without_values(self) -> bool:
        """Return whether, with its options, it takes an objective whose F has no value."""
        return self.takes_fields

    @abstractmethod
    def init(self, objective: Objective, u: torch.Tensor) -> State:
        """Return the state at the start u, evaluated."""

    @abstractmethod
    def step(self, objective: Objective, state: State) -> State:
        """Return the state after one iteration; `state` is not used again."""

    def close(self, state: State) -> None:
        """Let go of what a state holds beside tensors; the driver calls it when the run is over."""
        for name, inner in self.nested().items():
            inner.close(getattr(state, name))

    def resumes_exactly(self) -> bool:
        """Return whether a stored state has all that the next step depends on."""
        return all(inner.resumes_exactly() for inner in self.nested().values())

    def config(self) -> dict[str, Any]:
        """Return the options, JSON-able; of an option that is a solver its name and options."""
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: describe(o) if isinstance(o, Solver) else o for name, o in options.items()}

    @classmethod
    def accepted_options(cls, **options: Any) -> list[str]:
        """Return the names of the options there are, which may depend on those that are given."""
        return [f.name for f in dataclasses.fields(cls)]

    def nested(self) -> dict[str, Solver]:
        """Return the fields of this solver's states that hold states of other solvers, and those solvers."""
        return {}


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
    known = cls.accepted_options(**options)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ArgumentError(f"option of solver {solver!r}", ", ".join(unknown), ", ".join(known))
    options = {name: as_python(value) for name, value in options.items()}
    try:
        made = cls(**options)
    except (TypeError, ValueError, OverflowError) as error:
        # Of a package of others, which compares and converts before it checks.
        if isinstance(error, FlowsolveError):
            raise
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise ArgumentError(f"option of solver {solver!r}", given, f"what it takes ({error})") from None
    for name, value in options.items():
        # No configuration of a run can hold others.
        if isinstance(value, float) and not math.isfinite(value):
            raise ArgumentError(name, repr(value), "a finite number")
    return made


def registered_name(cls: type[Solver]) -> str:
    """Return the name that a class of solvers is registered under, or the name of the class."""
    return next((name for name in registry if registry.get(name) is cls), cls.__name__)


def solver_name(solver: Solver) -> str:
    """Return the name a solver is registered under, or its class name."""
    return registered_name(type(solver))


def describe(solver: Solver) -> dict[str, Any]:
    """Return name and options of a solver, JSON-able, as `inner_solver` takes them."""
    name = solver_name(solver)
    return {"name": name, "options": plain(solver.config(), f"solver {name}")}


def solvers_taking(what: str) -> list[str]:
    """Return the names of the solvers that take an ``extra`` term, a ``constraint``, or ``fields``."""
    return [name for name in registry if getattr(registry.get(name), f"takes_{what}", False)]


def inner_solver(given: str | Solver | Mapping[str, Any]) -> Solver:
    """Return the solver that another one runs, from its name, from `describe` of it, or as it is."""
    if isinstance(given, Mapping):
        if "name" not in given or not set(given) <= {"name", "options"}:
            raise ArgumentError("inner", dict(given), "a mapping with 'name' and 'options'")
        return make_solver(given["name"], **given.get("options", {}))
    return make_solver(given)


def require_positive(name: str, value: float, *, below: float = math.inf, zero: bool = False) -> None:
    """Raise `ArgumentError` unless value is a finite number in (0, below), or 0 where that is allowed."""
    least = ">= 0" if zero else "> 0"
    accepted = f"a number {least}" + ("" if math.isinf(below) else f" and < {below}")
    number = to_float(value, name, accepted)
    if not math.isfinite(number) or number >= below or number < 0 or (number == 0 and not zero):
        raise ArgumentError(name, repr(value), accepted)


def require_count(name: str, value: int) -> None:
    """Raise `ArgumentError` unless value is an integer >= 1."""
    as_count(value, name, least=1)


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `ArgumentError` unless value is one of `choices`."""
    if value not in choices:
        raise ArgumentError(name, repr(value), " or ".join(map(repr, choices)))


def zeros(u: torch.Tensor) -> torch.Tensor:
    """Return float64 zeros of shape (N,) beside the batch u."""
    return torch.zeros(len(u), dtype=torch.float64, device=u.device)
