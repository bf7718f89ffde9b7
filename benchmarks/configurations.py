"""How we restore a row of the tables: one or more runs, each from where the last ended, frozen in a file.

``configs/faces.json`` holds for each row of :mod:`.paper_rows` the configuration that
:mod:`.tune_faces` found best on validation faces; :mod:`.paper_table` only reads it.
"""

from __future__ import annotations

import functools
import inspect
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowsolve as fs
from flowsolve import baselines, initialise
from flowsolve.files import write_atomically
from flowsolve.initialise import Start
from flowsolve.objectives import FORMULATIONS
from flowsolve.objectives.base import Objective

FROZEN = Path(__file__).parent / "configs" / "faces.json"
"""Configurations that the tables use."""

PREVIOUS, MEAN = "previous", "mean"
"""Starts beside the registered ones: where the stage before ended, and the mean training image."""


@dataclass(frozen=True)
class Stage:
    """One run of a solver.

    Attributes
    ----------
    formulation : {"synthesis", "analysis"}
        Formulation.
    phi : str
        Prior term.
    lam, factor : float, optional
        Weight of the prior term, as a number or in units of the MAP weight σ²/2; at most one of the two. With
        neither it is ``"map"``, which over images stands for the hard constraint Ax = y where σ = 0.
    solver : str
        Solver.
    options : dict
        Its options.
    init : str
        A registered start, `PREVIOUS` or `MEAN`.
    max_iter : int
        Iterations; the last iterate is taken.
    prior : str, optional
        Prior of this stage, where not that of the table.
    put_back : bool
        Over latents: whether the measured values are put back into the image, x + A⁺(y − Ax).
    init_options : dict
        Options of the baseline that it starts from.
    """

    formulation: str
    phi: str = "nll"
    lam: float | None = None
    factor: float | None = None
    solver: str = "lbfgs"
    options: Mapping[str, Any] = field(default_factory=dict)
    init: str = "zeros"
    max_iter: int = 100
    prior: str | None = None
    put_back: bool = False
    init_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.lam is not None and self.factor is not None:
            raise ValueError("lam or factor, not both")

    def objective(self, problem: fs.InverseProblem, prior: Any) -> Objective:
        """Return what is minimised, with the prior given unless the stage has its own."""
        prior = prior if self.prior is None else _loaded(self.prior)
        lam: float | str = "map"
        if self.lam is not None:
            lam = self.lam
        elif self.factor is not None:
            lam = self.factor * problem.sigma**2 / 2
        objective = FORMULATIONS[self.formulation](problem, prior, phi=self.phi, lam=lam)
        if isinstance(objective, fs.Synthesis):
            objective.projects = self.put_back
        return objective

    def label(self) -> str:
        """Return a short description for tables."""
        weight = "constraint" if self.formulation == "analysis" else "λ map"
        if self.lam is not None:
            weight = f"λ {self.lam:g}"
        elif self.factor is not None:
            weight = f"λ {self.factor:g} map"
        options = " ".join(f"{name}={value}" for name, value in self.options.items())
        start = " ".join([self.init, *(f"{name}={value}" for name, value in self.init_options.items())])
        parts = [self.formulation, self.prior, self.phi, weight, self.solver, options, f"from {start}"]
        return " ".join(filter(None, [*parts, "put back" if self.put_back else "", f"{self.max_iter} it."]))


@functools.cache
def _loaded(name: str) -> Any:
    return fs.load_prior(name)


@dataclass(frozen=True)
class Restoration:
    """Images (N, 3, 64, 64), evaluations of each, and seconds of all together, starts included."""

    x: torch.Tensor
    evaluations: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Configuration:
    """Stages, one after the other."""

    stages: tuple[Stage, ...]

    def restore(
        self,
        problem: fs.InverseProblem,
        prior: Any,
        given: Mapping[str, torch.Tensor] | None = None,
        max_iter: int | None = None,
    ) -> Restoration:
        """Return the last iterate of the last stage.

        Parameters
        ----------
        problem : InverseProblem
            Measurements.
        prior : FlowPrior
            The flow.
        given : mapping of str to torch.Tensor, optional
            Images (3, 64, 64) of starts that are not registered.
        max_iter : int, optional
            At most so many iterations of each stage, for quick trials.
        """
        evaluations, seconds, x = np.zeros(len(problem)), 0.0, None
        for stage in self.stages:
            began = time.perf_counter()
            start = start_of(stage, problem, x, given or {})
            if isinstance(start, str):
                start = initialise.make_start(start, problem, prior)
            seconds += time.perf_counter() - began
            limit = stage.max_iter if max_iter is None else min(max_iter, stage.max_iter)
            result = fs.solve(
                stage.objective(problem, prior),
                stage.solver,
                start,
                max_iter=limit,
                rtol=None,
                **stage.options,
            )
            x = result.final.x
            evaluations += result.counts["evaluations"]
            seconds += result.seconds
        assert x is not None
        return Restoration(x, evaluations, seconds)

    def shortened(self, factor: int) -> Configuration:
        """Return the same with iterations, of stages and starts, and the length of a schedule divided."""
        stages = []
        for stage in self.stages:
            horizon = {"horizon": _share(n, factor)} if (n := stage.options.get("horizon")) else {}
            start = {"iterations": _share(n, factor)} if (n := iterations_of_start(stage)) else {}
            stages.append(
                replace(
                    stage,
                    max_iter=_share(stage.max_iter, factor),
                    options=stage.options | horizon,
                    init_options=stage.init_options | start,
                )
            )
        return Configuration(tuple(stages))

    def label(self) -> str:
        """Return a short description for tables."""
        return ", then ".join(stage.label() for stage in self.stages)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the stages, as `from_json` takes them."""
        stages = [asdict(stage) for stage in self.stages]
        # Left out where there are none: what was measured before there were any stays measured.
        return [{k: v for k, v in stage.items() if k != "init_options" or v} for stage in stages]

    @classmethod
    def from_json(cls, stages: Sequence[Mapping[str, Any]]) -> Configuration:
        """Return the configuration of `as_json`."""
        return cls(tuple(Stage(**stage) for stage in stages))


def _share(n: int, factor: int) -> int:
    return max(1, round(n / factor))


def iterations_of_start(stage: Stage) -> int | None:
    """Return how many iterations the start of a stage takes, or ``None`` where it is not iterated."""
    if stage.init not in baselines.registry:
        return None
    known = inspect.signature(baselines.registry.get(stage.init)).parameters.get("iterations")
    return None if known is None else stage.init_options.get("iterations", known.default)


def start_of(
    stage: Stage,
    problem: fs.InverseProblem,
    previous: torch.Tensor | None,
    given: Mapping[str, torch.Tensor],
) -> str | Start:
    """Return a stage's start: the images of the stage before, given ones, a registered start, a baseline."""
    name = stage.init
    if name == PREVIOUS:
        if previous is None:
            raise ValueError("the first stage has none before it")
        return Start(x=previous, name=name)
    if name in given:
        return Start(x=given[name].to(problem.y).expand(len(problem), *given[name].shape).clone(), name=name)
    if name in baselines.registry and (stage.init_options or name not in initialise.registry):
        return Start(x=baselines.registry.get(name)(problem, **stage.init_options), name=name)
    return name


def frozen(path: Path = FROZEN) -> dict[str, dict[str, Any]]:
    """Return the frozen file: for each row its ``stages`` and how they did on validation images."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def freeze(row: str, entry: dict[str, Any], path: Path = FROZEN) -> None:
    """Put the entry of a row into the frozen file; other rows stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = dict(sorted({**frozen(path), row: entry}.items()))
    write_atomically(path, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
