"""Which combinations have no meaning: tried out on one image, with a tiny flow in the place of the prior.

What a solver takes, where a start exists and which operators allow a hard constraint is decided where it
is implemented, and nowhere twice. So each part of a cell is made once, without the price of a real flow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .. import tasks
from ..errors import ArgumentError, FlowsolveError
from ..flows import Glow, GlowConfig, GlowPrior
from ..initialise import Start, make_start
from ..methods import plan_method
from ..objectives import FORMULATIONS, Objective
from ..operators import LinearOperator
from ..problem import InverseProblem, degrade
from ..solvers.base import make_solver
from .cells import Cell
from .inputs import Inputs, file_key


@dataclass(frozen=True)
class Refusal:
    """Why a cell cannot run.

    Attributes
    ----------
    key : str
        Key of the study file that asks for what cannot be had.
    what : str
        The combination.
    why : str
        What the part of the package that refused it says.
    """

    key: str
    what: str
    why: str


#: A part that could be made, or why not.
Made = tuple[Any, "Refusal | None"]


class Compatibility:
    """Tells whether cells can run; parts that cells share are tried once.

    Parameters
    ----------
    inputs : Inputs
        The study's images, masks and kernels.
    """

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._made: dict[Any, Made] = {}
        flow = Glow(GlowConfig.model_validate({"levels": 1, "steps": 1, "hidden": 2}), seed=0)
        self._prior = GlowPrior(flow, name="stand-in", dtype=torch.float64)

    def refusal(self, cell: Cell) -> Refusal | None:
        """Return why a cell cannot run, or None where it can."""
        of_solver = (self._operator, self._objective, self._start, self._solver)
        for part in of_solver if cell.method is None else (self._operator, self._method):
            why = part(cell)[1]
            if why is not None:
                return why
        return None

    def uses_seed(self, cell: Cell, other: int) -> bool:
        """Return whether the start of a cell is another one with another seed."""
        if self.refusal(cell) is not None:
            return True
        mine, theirs = (self._starts(c) for c in (cell, _with_seed(cell, other)))
        return not all(
            _equal(getattr(a, part), getattr(b, part))
            for a, b in zip(mine, theirs, strict=True)
            for part in ("x", "z")
        )

    def _starts(self, cell: Cell) -> list[Start]:
        """Return the named starts of a cell that can run: one, or those of a method's stages."""
        made: Any = (self._start if cell.method is None else self._method)(cell)[0]
        return made if isinstance(made, list) else [made]

    def _operator(self, cell: Cell) -> Made:
        def make() -> LinearOperator:
            operator = build_operator(cell, self.inputs)
            # Fitting all images is checked by the operator of all of them; the rest needs one.
            return operator.select(np.arange(1))

        return self._once(("operator", cell.task), "task", f"task {cell.task!r}", make)

    def _problem(self, cell: Cell) -> InverseProblem:
        operator, sigma = self._operator(cell)[0], cell.sigma
        x = torch.as_tensor(self.inputs.x[:1], dtype=torch.float64)
        y = degrade(operator, x, sigma=sigma, seed=0)
        return InverseProblem(operator, y, sigma=sigma, x_true=x, task=task_of(cell, self.inputs))

    def _objective(self, cell: Cell) -> Made:
        def make() -> Objective:
            kind = FORMULATIONS[cell.formulation]
            return kind(self._problem(cell), self._prior, phi=cell.phi, lam=cell.lam)

        key = ("objective", cell.task, cell.sigma, cell.formulation, cell.phi, cell.lam)
        return self._once(key, "lam", f"lam {cell.lam!r} for {_about(cell)}", make)

    def _start(self, cell: Cell) -> Made:
        def make() -> Start:
            objective = self._objective(cell)[0]
            return make_start(cell.init, objective.problem, objective.prior, seed=cell.seed)

        name = repr(cell.start) if cell.start == cell.init else f"{cell.start!r} ({cell.init})"
        key = ("start", cell.task, cell.sigma, cell.init, cell.seed)
        return self._once(key, "start", f"start {name} for {_about(cell, objective=False)}", make)

    def _solver(self, cell: Cell) -> Made:
        def make() -> None:
            objective = self._objective(cell)[0]
            solver, x = make_solver(cell.solver_name, **cell.solver_options), objective.problem.x_true
            state = solver.init(objective, objective.from_latent(x.new_zeros(1, objective.prior.n)))
            solver.close(state)

        key = ("solver", cell.task, cell.sigma, cell.formulation, cell.phi, cell.lam, cell.solver)
        return self._once(key, "solver", f"solver {cell.solver!r} for {_about(cell)}", make)

    def _method(self, cell: Cell) -> Made:
        def make() -> list[Start]:
            if cell.limits["max_evaluations"] is not None:
                given = f"{cell.limits['max_evaluations']} for a method"
                raise ArgumentError("max_evaluations", given, "max_iter or max_seconds")
            if cell.limits["max_iter"] == 0:
                raise ArgumentError("max_iter", "0 for a method", "an integer >= 1")
            assert cell.method is not None
            problem = self._problem(cell)
            prior = self._prior.fitted(problem.operator.dim_shape)
            stages = plan_method(cell.method, problem, prior).stages
            for stage in stages:
                stage.objective(problem, prior, lambda name: prior)
            return [s.start(problem, prior, cell.seed) for s in stages if not s.continues]

        key = ("method", cell.task, cell.sigma, cell.method, cell.seed, str(cell.limits))
        what = f"method {cell.method!r} for {_about(cell, objective=False)}"
        return self._once(key, "method", what, make)

    def _once(self, key: Any, axis: str, what: str, make: Callable[[], Any]) -> Made:
        if key not in self._made:
            try:
                self._made[key] = make(), None
            except FlowsolveError as error:
                self._made[key] = None, Refusal(axis, what, str(error))
        return self._made[key]


def build_operator(cell: Cell, inputs: Inputs) -> LinearOperator:
    """Return the operator of all images of a cell's study.

    Raises
    ------
    ArgumentError
        If an option does not fit the images.
    """
    shape: Any = inputs.x.shape[1:]
    return task_of(cell, inputs).operator(shape, n_images=len(inputs.x), seed=cell.measurement_seed)


def task_of(cell: Cell, inputs: Inputs) -> tasks.Task:
    """Return the task of a cell with its options, arrays in the place of files."""
    known = tasks.registry.get(cell.task_name).options()
    options = dict(cell.operator)
    for name, option in known.items():
        if option.read is not None and name in options:
            options[name] = inputs.files[name][file_key(option, cell.operator)]
    return tasks.make_task(cell.task_name, options)


def _about(cell: Cell, *, objective: bool = True) -> str:
    about = f"task {cell.task!r} at sigma {cell.sigma:g}"
    return f"{about}, {cell.formulation}, lam {cell.lam!r}" if objective else about


def _with_seed(cell: Cell, seed: int) -> Cell:
    return replace(cell, seed=seed)


def _equal(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b)
