"""The cells of a study: each a run of a batch of images with everything that determines it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .. import initialise, tasks
from ..objectives import FORMULATIONS
from .config import CLASSICAL, USUAL, Cells, SolverTable, Study, TaskTable
from .positions import Place

#: Characters of an id before its digits.
SLUG = 72


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes
    ----------
    id : str
        Readable and unique, safe as a file name; the same for the same parameters.
    task, task_name : str
        What the study calls the task, and the task's name.
    sigma : float
        Noise level.
    operator : dict
        Options of the task's operator; mask and kernel are files.
    measurement_seed : int
        Seed of noise and random masks.
    prior, formulation, phi : str
        Prior (name or file), formulation and prior term.
    lam : float or str
        Weight: a number or ``map``.
    solver, solver_name : str
        What the study calls the solver, and the solver's name.
    solver_options : dict
        Its options.
    start, init : str
        Start as the study has it, and the start that it stands for.
    seed : int
        Seed of the start.
    images : tuple of str
        Names of the images.
    first : int
        Place of the first of them among the study's images.
    limits : dict
        Budget, as `flowsolve.solve` takes it.
    """

    id: str
    task: str
    task_name: str
    sigma: float
    operator: dict[str, Any]
    measurement_seed: int
    prior: str
    formulation: str
    phi: str
    lam: float | str
    solver: str
    solver_name: str
    solver_options: dict[str, Any]
    start: str
    init: str
    seed: int
    images: tuple[str, ...]
    first: int
    limits: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as JSON has it."""
        return asdict(self) | {"images": list(self.images)}

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> Cell:
        """Return the cell that `to_dict` described; keys of later versions are left aside."""
        known = {f.name: described[f.name] for f in fields(cls)}
        return cls(**known | {"images": tuple(described["images"])})

    def identified(self, data: dict[str, Any]) -> Cell:
        """Return the cell with its id.

        Parameters
        ----------
        data : dict
            What its numbers depend on besides: images, weights of the prior, number format.
        """
        # What things are called is no part of what they are, but two names are two cells.
        text = json.dumps({**self.to_dict(), "id": None, "data": data}, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        weight = "" if self.lam == "map" else f"lam{self.lam:g}"
        words = (
            self.task,
            f"{self.sigma:g}",
            self.formulation,
            self.phi,
            weight,
            self.solver,
            self.start,
            f"s{self.seed}",
        )
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(word for word in words if word)).strip("-.")
        return replace(self, id=f"{slug[:SLUG]}-{digest[:8]}")


@dataclass(frozen=True)
class Candidate:
    """A cell with where the study file asks for each of its parameters.

    Attributes
    ----------
    cell : Cell
        The cell; its id is not set yet.
    places : dict of str to tuple
        Places of the keys.
    """

    cell: Cell
    places: dict[str, Place]


def candidates(study: Study, names: list[str]) -> Iterator[Candidate]:
    """Return all combinations that a study file asks for, those without meaning and repeated ones too.

    Parameters
    ----------
    study : Study
        The file.
    names : list of str
        Names of the study's images.
    """
    size = study.batch or len(names)
    batches = [(first, tuple(names[first : first + size])) for first in range(0, len(names), size)]
    for index, block in enumerate(study.cells):
        limits = block.budget().over(study.budget).limits()
        for task, t in _numbered(block.task):
            table = study.tasks.get(task) or TaskTable(task=task)
            for values in itertools.product(*_axes(block, table)):
                (sigma, _), (formulation, _), (phi, _), *others = values
                (lam, _), (prior, _), (solver, _), (start, _), (seed, _) = others
                solver_table = study.solvers.get(solver) or SolverTable(solver=solver)
                places = {
                    axis: ("cells", index, axis, number)
                    for axis, (_, number) in zip(AXES, values, strict=True)
                }
                common = Cell(
                    id="",
                    task=task,
                    task_name=table.task,
                    sigma=sigma,
                    operator=table.options(),
                    measurement_seed=table.seed,
                    prior=prior,
                    formulation=formulation,
                    phi=phi or FORMULATIONS[formulation].default_phi,
                    lam=_weight(lam, sigma),
                    solver=solver,
                    solver_name=solver_table.solver,
                    solver_options=solver_table.options(),
                    start=start,
                    init=_init(start, table.task, formulation),
                    seed=seed,
                    images=(),
                    first=0,
                    limits=limits,
                )
                for first, batch in batches:
                    yield Candidate(
                        replace(common, images=batch, first=first),
                        {"cells": ("cells", index), "task": ("cells", index, "task", t), **places},
                    )


#: The keys of a table of cells besides its task, in the order in which they are gone through.
AXES = ("sigma", "formulation", "phi", "lam", "prior", "solver", "start", "seed")


def _axes(block: Cells, table: TaskTable) -> list[list[tuple[Any, int]]]:
    """Return the values of each of `AXES`, numbered."""
    sigma = block.sigma or table.sigma or [tasks.registry.get(table.task).sigma]
    phis: list[str | None] = [None] if block.phi is None else block.phi
    lists = (sigma, block.formulation, phis, block.lam, block.prior, block.solver, block.start, block.seed)
    return [_numbered(values) for values in lists]


def _numbered(values: list[Any]) -> list[tuple[Any, int]]:
    return [(value, number) for number, value in enumerate(values)]


def _weight(lam: float | str, sigma: float) -> float | str:
    """Return a weight as a number or ``map``; with σ = 0 the MAP weight has no multiples."""
    if not isinstance(lam, str) or lam == "map":
        return lam
    # Rounded, so that 0.3 of the weight reads as it would have been written.
    return float(f"{float(lam.removesuffix('map')) * sigma**2 / 2:.12g}") if sigma > 0 else "map"


def _init(start: str, task: str, formulation: str) -> str:
    """Return the name of the start that `start` stands for."""
    starts = tasks.registry.get(task).starts
    if start == USUAL:
        return starts[formulation]
    if start.removeprefix(initialise.ENCODED) == CLASSICAL:
        return start.replace(CLASSICAL, starts["analysis"])
    return start
