"""What a study file may say: the tables, their keys and what is accepted, checked by pydantic.

Names are looked up where they are read, so that every mistake of a file is found in one pass, each at its
place; `flowsolve.studies.parsing` turns places into lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .. import initialise, tasks
from ..errors import ArgumentError, FlowsolveError
from ..flows.raw import PREFIX as RAW
from ..flows.zoo import PRIORS
from ..methods import registry as method_registry
from ..objectives import FORMULATIONS, Analysis
from ..registry import Registry
from ..solvers.base import make_solver
from ..solvers.base import registry as solver_registry
from ..stopping import ITERATIONS

#: Starts that stand for another one, depending on the task: its usual start of the formulation, and the
#: classical restoration it starts from over images.
USUAL, CLASSICAL = "usual", "classical"

#: Keys of a table of cells that only a run of one solver has.
SOLVER_AXES = ("formulation", "phi", "lam", "solver", "start")

#: What files of weights end in.
WEIGHTS = ".safetensors"

#: Kind of error whose context has parts of the value that are wrong, each with its message.
PARTS = "parts"


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _known(name: str, registry: Registry[Any], argument: str) -> str:
    try:
        registry.get(name, argument)
    except ArgumentError as error:
        raise ValueError(f"got {error.given}; accepted: {error.accepted}") from None
    return name


def _reference(kind: str, registry: Registry[Any]) -> Any:
    """Return a validator of names of a registry, or of the tables ``[KIND.NAME]`` of the file."""

    def check(name: str, info: ValidationInfo) -> str:
        own = (info.context or {}).get(kind, ())
        if name in own:
            return name
        try:
            return _known(name, registry, kind)
        except ValueError as error:
            tables = f"; or the name of a table [{kind}.NAME] of this file" + (
                f": {', '.join(own)}" if own else ""
            )
            raise ValueError(f"{error}{tables}") from None

    return AfterValidator(check)


def _start(name: str) -> str:
    if name in (USUAL, CLASSICAL):
        return name
    plain = name.removeprefix(initialise.ENCODED)
    if plain == CLASSICAL and plain != name:
        return name
    try:
        _known(plain, initialise.registry, "start")
    except ValueError as error:
        raise ValueError(f"{error}; or {USUAL}, {CLASSICAL}") from None
    return name


def _prior(name: str) -> str:
    if not name.endswith(WEIGHTS):
        try:
            _known(name.removeprefix(RAW), PRIORS, "prior")
        except ValueError as error:
            raise ValueError(f"{error}; or a {WEIGHTS} file") from None
    return name


def _method(name: str) -> str:
    return _known(name, method_registry, "method")


def _lam(value: Any) -> float | str:
    """Return a weight: a number, "map", or a multiple of it such as "0.3 map" in one form."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value < float("inf"):
            return float(value)
    elif isinstance(value, str):
        factor, _, rest = value.strip().rpartition("map")
        try:
            number = float(factor) if factor.strip() else 1.0
        except ValueError:
            number = -1.0
        if value.strip().endswith("map") and not rest and 0 <= number < float("inf"):
            return "map" if number == 1 else f"{number:g} map"
    raise ValueError(f"got {value!r}; accepted: a finite number >= 0, 'map' (σ²/2), or a multiple: '0.3 map'")


def _choice(*choices: str) -> Any:
    def check(name: str) -> str:
        if name not in choices:
            raise ValueError(f"got {name!r}; accepted: {', '.join(choices)}")
        return name

    return AfterValidator(check)


def _device(name: str) -> str:
    try:
        torch.device(name)
    except RuntimeError:
        raise ValueError(f"got {name!r}; accepted: cpu, cuda, cuda:0, ...") from None
    return name


TaskName = Annotated[str, AfterValidator(lambda name: _known(name, tasks.registry, "task"))]
SolverName = Annotated[str, AfterValidator(lambda name: _known(name, solver_registry, "solver"))]
Level = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weight = Annotated[float | str, BeforeValidator(_lam)]
Levels = Annotated[list[Level], BeforeValidator(_listed), Field(min_length=1)]
Weights = Annotated[list[Weight], BeforeValidator(_listed), Field(min_length=1)]
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_listed), Field(min_length=1)]
Paths = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]


def _names(check: Any) -> Any:
    return Annotated[list[Annotated[str, check]], BeforeValidator(_listed), Field(min_length=1)]


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(Table):
    """When a run ends, the limit that is reached first; without any after 400 iterations.

    Attributes
    ----------
    max_iter, max_evaluations, max_seconds : int, int, float, optional
        As for `flowsolve.solve`.
    rtol : float, optional
        As for `flowsolve.solve`; 0 for never.
    """

    max_iter: int | None = Field(default=None, ge=0)
    max_evaluations: int | None = Field(default=None, ge=1)
    max_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    rtol: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def over(self, other: Budget) -> Budget:
        """Return this budget, with `other`'s limits where it says nothing."""
        return Budget(**(other.model_dump(exclude_none=True) | self.model_dump(exclude_none=True)))

    def limits(self, *, of_method: bool = False) -> dict[str, Any]:
        """Return the limits as `flowsolve.solve` takes them; a method has its own, which they shorten."""
        said = self.model_dump()
        if of_method:
            return said | {"rtol": None}
        if all(said[name] is None for name in ("max_iter", "max_evaluations", "max_seconds")):
            said["max_iter"] = ITERATIONS
        rtol = 1e-7 if said["rtol"] is None else said["rtol"]
        return said | {"rtol": rtol or None}


class Compute(Table):
    """How the runs are computed and recorded, all alike.

    Attributes
    ----------
    dtype, device, threads : str, str, int
        Number format, device, and threads of one run.
    checkpoint_seconds, flush_seconds, snapshot_every : float, float, int
        As for `flowsolve.solve`.
    """

    dtype: Annotated[str, _choice("float32", "float64")] = "float32"
    device: Annotated[str, AfterValidator(_device)] = "cpu"
    threads: int = Field(default=1, ge=1)
    checkpoint_seconds: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    flush_seconds: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    snapshot_every: int | None = Field(default=None, ge=1)


class TaskTable(Table):
    """``[tasks.NAME]``: a task with options of its own.

    Attributes
    ----------
    task : str
        Name of the task.
    sigma : list of float, optional
        Noise levels; else the task's.
    seed : int
        Seed of the noise and of random masks: all runs of the task see the same measurements.
    factor, kernel_size, missing, box, mask, kernel
        As `flowsolve.tasks.TaskOptions`; mask and kernel are files.
    kernel_scale : {"normalise", "as-is"}, optional
        What to do with a kernel file whose sum is not 1, as `flowsolve.images.read_kernel`.
    """

    task: TaskName
    sigma: Levels | None = None
    seed: int = Field(default=0, ge=0)
    factor: int | None = Field(default=None, ge=1)
    kernel_size: int | None = Field(default=None, ge=1)
    missing: float | None = Field(default=None, ge=0, lt=1)
    box: int | None = Field(default=None, ge=1)
    mask: str | None = None
    kernel: str | None = None
    kernel_scale: Literal["normalise", "as-is"] | None = None

    def options(self) -> dict[str, Any]:
        """Return the options of the operator that were given; two scales of a kernel file are two kernels."""
        given = self.model_dump(exclude_none=True, exclude={"task", "sigma", "seed", "kernel_scale"})
        if self.kernel is not None and self.kernel_scale is not None:
            given["kernel"] = f"{self.kernel} ({self.kernel_scale})"
        return given

    @model_validator(mode="after")
    def _concern_the_task(self) -> TaskTable:
        takes = tasks.registry.get(self.task).takes
        if self.kernel_scale is not None and self.kernel is None:
            raise _wrong_parts({"kernel_scale": "none without kernel"})
        wrong = [name for name in self.options() if name not in takes]
        if wrong:
            accepted = ", ".join(takes) or "no options"
            said = f"the task {self.task} does not take it; accepted: {accepted}"
            raise _wrong_parts({name: said for name in wrong})
        return self


class SolverTable(BaseModel):
    """``[solvers.NAME]``: a solver with options; the keys beside `solver` are the options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    solver: SolverName

    def options(self) -> dict[str, Any]:
        """Return the solver's options."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _can_be_made(self) -> SolverTable:
        options = self.options()
        known = solver_registry.get(self.solver).accepted_options(**options)
        unknown = [name for name in options if name not in known]
        if unknown:
            said = f"no option of the solver {self.solver}; accepted: {', '.join(known)}"
            raise _wrong_parts({name: said for name in unknown})
        try:
            make_solver(self.solver, **options)
        except ArgumentError as error:
            place = error.argument if error.argument in options else ""
            raise _wrong_parts({place: str(error)}) from None
        except (FlowsolveError, TypeError, ValueError) as error:
            raise ValueError(str(error)) from None
        return self


class Cells(Budget):
    """``[[cells]]``: every combination of what its keys list; more tables add theirs.

    Attributes
    ----------
    task, solver : list of str
        Names, or tables of the file.
    method : list of str
        Names of methods, which are run beside the solvers; a table that has methods and no key of
        `SOLVER_AXES` runs no solver.
    prior, formulation, start : list of str
        Names; a prior may be a file of weights.
    phi, lam : list, optional
        Prior terms and weights; else those of the formulation, and ``map``.
    sigma : list of float, optional
        Noise levels; else those of the tasks.
    seed : list of int
        Seeds of the start.
    max_iter, max_evaluations, max_seconds, rtol
        As in ``[budget]``, over which they go.
    """

    task: _names(_reference("tasks", tasks.registry))  # type: ignore[valid-type]
    method: _names(AfterValidator(_method)) = []  # type: ignore[valid-type]
    solver: _names(_reference("solvers", solver_registry)) = ["lbfgs"]  # type: ignore[valid-type]
    prior: _names(AfterValidator(_prior)) = ["faces64"]  # type: ignore[valid-type]
    formulation: _names(_choice(*FORMULATIONS)) = ["analysis"]  # type: ignore[valid-type]
    phi: _names(_choice(*Analysis.phis)) | None = None  # type: ignore[valid-type]
    lam: Weights = ["map"]
    start: _names(AfterValidator(_start)) = [USUAL]  # type: ignore[valid-type]
    sigma: Levels | None = None
    seed: Seeds = [0]

    def runs_solvers(self) -> bool:
        """Return whether the table asks for runs of one solver."""
        return not self.method or bool(self.model_fields_set & set(SOLVER_AXES))

    def budget(self) -> Budget:
        """Return the limits that the table sets itself."""
        return Budget(**{name: getattr(self, name) for name in Budget.model_fields})


class Study(Table):
    """A whole study file.

    Attributes
    ----------
    title : str
        What the study is called.
    images : list of str
        Image files, folders and zips.
    limit, batch : int, optional
        Most images that are read; most images in one run, else all.
    skip_impossible : bool
        Whether combinations that have no meaning are left out, rather than refused.
    budget, compute, tasks, solvers, cells
        The tables.
    """

    title: str = ""
    images: Paths
    limit: int | None = Field(default=None, ge=1)
    batch: int | None = Field(default=None, ge=1)
    skip_impossible: bool = False
    budget: Budget = Budget()
    compute: Compute = Compute()
    tasks: Mapping[str, TaskTable] = {}
    solvers: Mapping[str, SolverTable] = {}
    cells: list[Cells] = Field(min_length=1)


Transfer = Literal["path", "array"]


def _wrong_parts(parts: dict[str, str]) -> PydanticCustomError:
    return PydanticCustomError(PARTS, "see its parts", {PARTS: parts})
