"""What a task is, and where tasks are looked up by name."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import baselines
from ..errors import ArgumentError
from ..registry import Registry
from .options import REQUIRED, Option, options_of

if TYPE_CHECKING:
    from ..operators import LinearOperator
    from ..problem import InverseProblem

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """A task with its options; a subclass is a frozen dataclass whose fields are the options.

    Attributes
    ----------
    name : str
        Name, as registered.
    sigma : float
        Usual standard deviation of the noise.
    starts : mapping of str to str
        Usual start of each formulation.
    """

    name: ClassVar[str] = ""
    sigma: ClassVar[float] = 0.01
    starts: ClassVar[Mapping[str, str]] = {"analysis": "total-variation", "synthesis": "zeros"}

    def __post_init__(self) -> None:
        for name, known in self.options().items():
            object.__setattr__(self, name, known.check(getattr(self, name)))

    @abstractmethod
    def operator(
        self, dim_shape: tuple[int, int, int], *, n_images: int = 1, seed: int = 0
    ) -> LinearOperator:
        """Return the task's operator.

        Parameters
        ----------
        dim_shape : (int, int, int)
            Shape (C, H, W) of an image.
        n_images : int
            Number of images, where each has parameters of its own.
        seed : int
            Seed of random parameters.

        Raises
        ------
        ArgumentError
            If an option does not fit the images.
        """

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return the options by name."""
        return options_of(cls)

    def image_size(self, size: Size) -> Size:
        """Return height and width of the images whose measurements have height and width `size`."""
        return size

    def check_measured(self) -> None:  # noqa: B027
        """Refuse measurements of which something must be said that clean images do without."""

    def for_measurements(self, fits: Callable[[Task], bool]) -> Task:
        """Return the task with what is usual for real measurements where nothing was said.

        Parameters
        ----------
        fits : callable
            Tells whether the prior takes the images of a task.
        """
        return self

    def notes(self) -> list[str]:
        """Return what of the task's assumptions is worth saying of real measurements, one line each."""
        return []

    def baselines(self, problem: InverseProblem) -> dict[str, baselines.Baseline]:
        """Return the classical restorations to compare with, by name: those that suit the operator."""
        return baselines.of_operator(problem)

    def classical_start(self, problem: InverseProblem) -> str:
        """Return the name of the registered baseline that is the best start: the one of the operator."""
        return baselines.start_of_operator(problem)

    def config(self) -> dict[str, Any]:
        """Return name and options, JSON-able; arrays are the operator's to describe."""
        values = {name: getattr(self, name) for name, known in self.options().items() if known.read is None}
        given = {name: value for name, value in values.items() if value != self.options()[name].default}
        return {"name": self.name, "options": given}


registry: Registry[type[Task]] = Registry("task", "flowsolve.tasks")


def register_task(name: str) -> Callable[[type[Task]], type[Task]]:
    """Return a class decorator that registers a task under `name`, which becomes its attribute ``name``.

    Raises
    ------
    ArgumentError
        If the name is taken.
    """

    def store(cls: type[Task]) -> type[Task]:
        registry.register(name)(cls)
        cls.name = name
        return cls

    return store


def make_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """Return a task with its options.

    Parameters
    ----------
    name : str
        A registered name.
    options : mapping
        Options by name; text stands for what it says, as on the command line, and a path for the file.

    Raises
    ------
    ArgumentError
        If there is no such task, an option does not concern it, is missing, or has a bad value.
    """
    kind, given = registry.get(name), dict(options or {})
    if not kind.name:
        # Known by an entry point alone.
        kind.name = name
    check_options(name, given)
    known = kind.options()
    for option in known.values():
        if option.default is REQUIRED and option.name not in given:
            raise ArgumentError(option.argument, None, f"a value: {option.help or option.in_words()}")
    return kind(**{key: _value(known[key], value, given) for key, value in given.items()})


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that do not concern a task.

    Raises
    ------
    ArgumentError
        The message says which tasks they are for.
    """
    known = registry.get(name).options()
    for option in options:
        if option not in known:
            others = [other for other in registry if option in registry.get(other).options()]
            accepted = f"none; it is for {' and '.join(others)}" if others else _near(option, known)
            raise ArgumentError(option.replace("_", "-"), f"one for the task {name}", accepted)


def _near(option: str, known: Mapping[str, Option]) -> str:
    near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return (", ".join(known) or "no options") + hint


def _value(option: Option, value: Any, options: Mapping[str, Any]) -> Any:
    if isinstance(value, np.ndarray) or (not isinstance(value, str) and not hasattr(value, "__fspath__")):
        return value
    return option.parse(str(value), options)
