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
    method : str, optional
        Name of the method that is run. Its stages have solvers and weights of their own: `solver` is then the
        method's name, by which it is told from others, and formulation, phi, lam and start are empty.
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
    method: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as JSON has it."""
        described = asdict(self) | {"images": list(self.images)}
        if self.method is None:
            # So that cells have the ids that they had before there were methods.
            del described["method"]
        return described

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> Cell:
        """Return the cell that `to_dict` described; keys of later versions are left aside."""
        known = {f.name: described[f.name] for f in fields(cls) if f.name in described}
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
        weight = "" if self.lam in ("map", "") else f"lam{self.lam:g}"
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
        budget = block.budget().over(study.budget)
        for task, t in _numbered(block.task):
            table = study.tasks.get(task) or TaskTable(task=task)
            for chosen in _choices(block, table):
                values = {axis: value for axis, (value, _) in chosen.items()}
                places = {axis: ("cells", index, axis, number) for axis, (_, number) in chosen.items()}
                common = Cell(
                    id="",
                    task=task,
                    task_name=table.task,
                    sigma=values["sigma"],
                    operator=table.options(),
                    measurement_seed=table.seed,
                    prior=values["prior"],
                    seed=values["seed"],
                    images=(),
                    first=0,
                    limits=budget.limits(of_method="method" in values),
                    **(_of_method(values) if "method" in values else _of_solver(values, study, table)),
                )
                for first, batch in batches:
                    yield Candidate(
                        replace(common, images=batch, first=first),
                        {"cells": ("cells", index), "task": ("cells", index, "task", t), **places},
                    )


#: The keys of a table of cells besides its task, in the order in which they are gone through.
AXES = ("sigma", "formulation", "phi", "lam", "prior", "solver", "start", "seed")

#: Those that a method has.
METHOD_AXES = ("sigma", "prior", "method", "seed")


def _choices(block: Cells, table: TaskTable) -> Iterator[dict[str, tuple[Any, int]]]:
    """Return what a table of cells combines: for each axis the value and its number, solvers first."""
    phis: list[str | None] = [None] if block.phi is None else block.phi
    sigma = block.sigma or table.sigma or [tasks.registry.get(table.task).sigma]
    own: dict[str, list[Any]] = {"sigma": sigma, "phi": phis}
    for axes, asked in ((AXES, block.runs_solvers()), (METHOD_AXES, bool(block.method))):
        lists = [_numbered(own.get(axis) or getattr(block, axis)) for axis in axes if asked]
        for values in itertools.product(*lists) if asked else ():
            yield dict(zip(axes, values, strict=True))


def _of_solver(values: dict[str, Any], study: Study, table: TaskTable) -> dict[str, Any]:
    """Return what is a cell's own that runs one solver."""
    solver, formulation, start = values["solver"], values["formulation"], values["start"]
    solver_table = study.solvers.get(solver) or SolverTable(solver=solver)
    return {
        "formulation": formulation,
        "phi": values["phi"] or FORMULATIONS[formulation].default_phi,
        "lam": _weight(values["lam"], values["sigma"]),
        "solver": solver,
        "solver_name": solver_table.solver,
        "solver_options": solver_table.options(),
        "start": start,
        "init": _init(start, table.task, formulation),
    }


def _of_method(values: dict[str, Any]) -> dict[str, Any]:
    """Return what is a cell's own that runs a method."""
    name = values["method"]
    return named_as_method(name) | {"solver_name": "", "solver_options": {}, "init": "", "method": name}


def named_as_method(name: str) -> dict[str, Any]:
    """Return what tables have for a run of a method where they name solver, start and objective."""
    return {"formulation": "", "phi": "", "lam": "", "solver": name, "start": ""}


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
