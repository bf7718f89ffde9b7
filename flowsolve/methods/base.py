"""A method: stages, one after the other, that turn a problem and a prior into a restoration.

Whatever restores is a method: those that a user names, the published protocols, and ``auto``, which looks
at the problem and writes the stages itself. Benchmarks, studies and the command line run methods and
nothing else.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import ArgumentError
from ..files import read_text
from ..flows import FlowPrior
from ..problem import InverseProblem
from ..registry import Registry
from .stage import CHECKED, Stage

SUFFIX = ".json"
"""A method whose name ends so is a file."""

KEYS = ("name", "reason", "guarded", "stages")
"""Keys of a method's JSON object."""


@dataclass(frozen=True)
class Method:
    """Stages in order, and why.

    Attributes
    ----------
    name : str
        What it is called.
    stages : tuple of Stage
        At least one.
    reason : str
        One sentence: why these stages.
    guarded : bool
        Whether an image that a truth-free criterion finds worse than its classical start goes back to that
        start.
    """

    name: str
    stages: tuple[Stage, ...]
    reason: str = ""
    guarded: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isprintable() or not self.name.strip():
            raise ArgumentError("name", repr(self.name), "printable text")
        if isinstance(self.stages, str) or not all(isinstance(stage, Stage) for stage in self.stages):
            raise ArgumentError("stages", repr(self.stages), "a tuple of stages")
        if not self.stages:
            raise ArgumentError("stages", "none", "at least one stage")
        if self.stages[0].continues:
            raise ArgumentError("init", f"{self.stages[0].init!r} in the first stage", "a named start")
        for index, stage in enumerate(self.stages):
            if stage.init.startswith(CHECKED) and self.judged_before(index) is None:
                accepted = "a named start, or a stage before it that holds measurements out"
                raise ArgumentError("init", repr(stage.init), accepted)

    def judged_before(self, index: int) -> int | None:
        """Return the last stage before `index` that held measurements out, or None if there is none."""
        return max((k for k in range(index) if self.stages[k].held_out), default=None)

    @property
    def max_iter(self) -> int:
        """Iterations of all stages together."""
        return sum(stage.max_iter for stage in self.stages)

    def shortened(self, max_iter: int | None) -> Method:
        """Return the method with at most so many iterations, shared out as its stages have them."""
        if max_iter is None or max_iter >= self.max_iter:
            return self
        # Where each stage ends is rounded, not how long it is, so that together they have as many as asked.
        ends = itertools.accumulate(stage.max_iter for stage in self.stages)
        rounded = [0, *(round(end * max_iter / self.max_iter) for end in ends)]
        lengths = [end - begin for begin, end in itertools.pairwise(rounded)]
        stages = [stage.shortened(length) for stage, length in zip(self.stages, lengths, strict=True)]
        return replace(self, stages=tuple(stages))

    def in_words(self) -> list[str]:
        """Return one line for each stage."""
        return [f"{k}. {stage.in_words()}" for k, stage in enumerate(self.stages, 1)]

    def as_json(self) -> dict[str, Any]:
        """Return the method as `from_json` takes it."""
        return {
            "name": self.name,
            "reason": self.reason,
            "guarded": self.guarded,
            "stages": [stage.as_json() for stage in self.stages],
        }

    @classmethod
    def from_json(cls, document: Any, name: str = "given") -> Method:
        """Return the method of a JSON object with ``stages``, or of a list of stages.

        Parameters
        ----------
        document : dict or list
            The method.
        name : str
            Its name, where the document has none.

        Raises
        ------
        ArgumentError
            If it is neither, a stage has an unknown key or a bad value.
        """
        if isinstance(document, list):
            document = {"stages": document}
        if not isinstance(document, Mapping) or not isinstance(document.get("stages"), list):
            raise ArgumentError("method", type(document).__name__, "a JSON object with a list of stages")
        unknown = sorted(str(key) for key in set(document) - set(KEYS))
        if unknown:
            raise ArgumentError("method", f"the key {unknown[0]!r}", ", ".join(KEYS))
        for key, kind, word in (("name", str, "text"), ("reason", str, "text"), ("guarded", bool, "a bool")):
            if not isinstance(document.get(key, kind()), kind):
                raise ArgumentError(key, repr(document[key]), word)
        stages = tuple(Stage.from_json(stage) for stage in document["stages"])
        reason, guarded = document.get("reason", ""), document.get("guarded", False)
        return cls(document.get("name", name), stages, reason, guarded)


class Planner(Protocol):
    """What is registered under a name: a function that writes the stages for a problem."""

    def __call__(self, problem: InverseProblem, prior: FlowPrior) -> Method:
        """Return the method for `problem` with `prior`, from the problem alone, never from the truth."""


registry: Registry[Planner] = Registry("method", "flowsolve.methods")
register_method = registry.register


def plan_method(method: str | Path | Method, problem: InverseProblem, prior: FlowPrior) -> Method:
    """Return the stages of a method for a problem.

    Parameters
    ----------
    method : str, path or Method
        A registered name, a JSON file (its name ends in ``.json``), or a method, which is returned as it is.
    problem : InverseProblem
        The problem.
    prior : FlowPrior
        The flow, at the size of the images.

    Raises
    ------
    ArgumentError
        If there is no such method; the message has the nearest name.
    UnsupportedError
        If the method has no answer for the problem's operator.
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str | Path):
        raise ArgumentError("method", type(method).__name__, "a name, a JSON file or a Method")
    if isinstance(method, Path) or str(method).endswith(SUFFIX):
        return read_method(Path(method))
    planned = registry.get(method)(problem, prior)
    if not isinstance(planned, Method):
        raise ArgumentError("method", f"{method}, which returned {type(planned).__name__}", "one of a Method")
    return planned


def check_name(method: str) -> None:
    """Raise `ArgumentError` unless there is a method of this name, or a file of one."""
    if str(method).endswith(SUFFIX):
        read_method(Path(method))
    else:
        registry.get(method)


def read_method(path: Path) -> Method:
    """Return the method of a JSON file.

    Raises
    ------
    ArgumentError
        If it cannot be read, is not JSON, or no method.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError("method", f"{path}, which cannot be read ({error})", "a JSON file") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError("method", f"{path}, which is not JSON ({error})", "a JSON file") from None
    return Method.from_json(document, name=path.stem)
