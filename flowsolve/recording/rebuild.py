"""From a record back to the objects it describes: problem, prior, objective, solver, start, criteria."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from .. import fidelities, functionals, noise, tasks
from ..errors import ArgumentError, FlowsolveError, RecordError, UnsupportedError
from ..flows.zoo import find_prior
from ..functionals import Functional
from ..initialise import Start
from ..metrics import Measures
from ..objectives import BY_NAME, Objective
from ..objectives.base import OF_NOISE
from ..operators import LinearOperator, from_config
from ..priors.base import Prior
from ..problem import InverseProblem
from ..solvers.base import Solver, make_solver
from ..stopping import Criterion, criterion_from_config
from .config import current_versions
from .reader import RunRecord

T = TypeVar("T")


#: Numbers in an operator's description that are no size.
NOT_SIZES = ("seed", "scalar", "variance", "images", "angle")

#: An operator may have sizes this many times those of images and data, as between two that are chained.
ROOM = 8


@dataclass
class Rebuilt:
    """What a record describes, built again.

    Attributes
    ----------
    objective : Objective
        Problem, prior and formulation.
    solver : Solver
        The solver with its options.
    init : str or Start
        Name of the start, or the recorded tensor.
    seed : int
        Seed of the start.
    limits : dict
        The usual limits.
    criterion : Criterion
        The whole stopping criterion.
    measures : Measures
        The metrics of the trace.
    """

    objective: Objective
    solver: Solver
    init: str | Start
    seed: int
    limits: dict[str, Any]
    criterion: Criterion
    measures: Measures


def rebuild(record: RunRecord, prior: Prior | None = None) -> Rebuilt:
    """Return the objects of a run.

    Parameters
    ----------
    record : RunRecord
        The run.
    prior : Prior, optional
        The prior, where it is not a registered one; the objective gets it in the dtypes and the memory mode
        of the run.

    Raises
    ------
    RecordError
        If the prior is not there or is another one (by its SHA-256), or the configuration describes something
        that cannot be.
    UnsupportedError
        If the run used an object that a configuration cannot describe.
    """
    config = record.config
    prior = prior_of(config, prior)
    problem = problem_of(record)
    objective = build("objective", lambda: _objective(config["objective"], problem, prior))
    start, solver = config["initialiser"], config["solver"]
    tensors = {name: record.start[name] for name in ("x", "z") if name in record.start}
    given = {name: torch.from_numpy(array).to(objective.problem.y) for name, array in tensors.items()}
    return Rebuilt(
        objective,
        build("solver", lambda: make_solver(solver["name"], **solver["options"])),
        Start(**given, name=start["name"], seed=start["seed"]) if given else start["name"],
        start["seed"],
        config["limits"],
        build("stopping", lambda: criterion_from_config(config["stopping"])),
        measures_of(config),
    )


def measures_of(config: dict[str, Any]) -> Measures:
    """Return the metrics of a configuration.

    Raises
    ------
    RecordError
        If one is not registered here.
    """
    try:
        return Measures.from_config(config.get("metrics"))
    except ArgumentError as error:
        raise RecordError(
            f"record: the metric {error.given} of its trace is not registered here; import what registers "
            "it, with flowsolve.metrics.register_metric or an entry point of the group flowsolve.metrics"
        ) from error


def build(what: str, make: Callable[[], T]) -> T:
    """Return what a function makes of a part of a configuration.

    Raises
    ------
    FlowsolveError
        As the function raises it; anything else that it raises becomes a `RecordError`, since the options of
        operators, objectives and solvers are checked by their constructors, each as far as it goes.
    """
    try:
        return make()
    except FlowsolveError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise RecordError(f"record: its {what} cannot be built: {type(error).__name__}: {text}") from error


def build_operator(config: dict[str, Any], measured: tuple[int, ...]) -> LinearOperator:
    """Return the operator of a configuration, which takes its images to measurements of a shape.

    Raises
    ------
    RecordError
        If it has sizes far from those of images and measurements, or others than they have.
    """
    image = tuple(config["image_shape"])
    most = ROOM * max(math.prod(image), math.prod(measured), 1000)
    _check_sizes(config["operator"], most)
    operator: LinearOperator = build("operator", lambda: from_config(config["operator"]))
    for argument, wanted in (("dim_shape", image), ("codim_shape", measured)):
        if tuple(getattr(operator, argument)) != tuple(wanted):
            given = tuple(getattr(operator, argument))
            raise RecordError(f"record: its operator has {argument} {given}; the data have {tuple(wanted)}")
    if operator.n_images not in (None, config["n_images"]):
        raise RecordError(f"record: its operator is for {operator.n_images} of {config['n_images']} images")
    return operator


def _check_sizes(described: Any, most: float, key: str = "operator") -> None:
    """Refuse numbers in a description of an operator that are far larger than its images.

    An operator is made before its shapes can be compared with the data: what it is made of must not take more
    memory than they do.
    """
    if isinstance(described, dict):
        for name, value in described.items():
            if name not in NOT_SIZES:
                _check_sizes(value, most, str(name))
    elif isinstance(described, list):
        if key.endswith("shape") or key == "size":
            numbers = [abs(v) for v in described if isinstance(v, int | float) and not isinstance(v, bool)]
            if math.prod(numbers) > most:
                raise RecordError(f"record: its operator has {key} {described[:8]}, far from the data")
        for value in described:
            _check_sizes(value, most, key)
    elif isinstance(described, int | float) and not abs(described) <= most:
        raise RecordError(f"record: its operator has {key} {described}, far from the data")


def _objective(described: dict[str, Any], problem: InverseProblem, prior: Prior) -> Objective:
    if described["formulation"] not in BY_NAME:
        raise RecordError(f"record: there is no formulation {described['formulation']!r}")
    return BY_NAME.get(described["formulation"])(
        problem,
        prior,
        phi=described["phi"],
        lam=described["lam"],
        extra=_functional(described["extra"]),
        fidelity=_fidelity(described["fidelity"]),
        **described["options"],
    )


def _fidelity(described: dict[str, Any]) -> fidelities.Fidelity | None:
    """Return a data term; None for the one that the problem's noise has."""
    return None if described.get(OF_NOISE) is True else fidelities.from_config(described)


def _noise(described: dict[str, Any]) -> noise.NoiseModel | None:
    """Return the noise model of a problem; None for the Gaussian one that sigma describes."""
    if described.get("parameters") is None:
        return None
    return noise.from_config({**described["parameters"], "name": described["model"]})


def _task(described: dict[str, Any] | None) -> tasks.Task | None:
    """Return the task of a problem, without the arrays that its operator has; None where it is not there."""
    if described is None or described["name"] not in tasks.registry:
        return None
    try:
        return tasks.make_task(described["name"], described.get("options"))
    except FlowsolveError:
        # One that cannot be made without a file, or of another version: its operator is there all the same.
        return None


def problem_of(record: RunRecord) -> InverseProblem:
    """Return the problem of a record: its operator, measurements and, where known, the truth."""
    config, data = record.config, record.problem
    operator = build_operator(config, data["y"].shape[1:])
    sigma, x_true = float(data["sigma"]), data.get("x_true")
    model = build("noise", lambda: _noise(config["noise"]))
    task = _task(config.get("task"))
    problem = build(
        "problem",
        lambda: InverseProblem(operator, data["y"], sigma=sigma, noise=model, x_true=x_true, task=task),
    )
    problem.sigma_estimated = bool(config["noise"].get("estimated", False))
    return problem


def version_differences(record: RunRecord) -> dict[str, tuple[str | None, str | None]]:
    """Return package → (version then, version now) for those that have changed since the run."""
    now = current_versions()
    then = record.config["versions"]
    return {name: (then.get(name), now.get(name)) for name in now if then.get(name) != now.get(name)}


def prior_of(config: dict[str, Any], prior: Prior | None) -> Prior:
    """Return the prior of a configuration: the one given, if it is that one, else loaded from where it was.

    Raises
    ------
    RecordError
        If it is not there or is another one (by its SHA-256).
    """
    wanted, dtype = config["prior"], getattr(torch, config["dtype"])
    if prior is None:
        try:
            # Never by the path that the record names, which whoever wrote it may have chosen.
            prior = find_prior(wanted["name"], wanted["sha256"], device=config["device"], dtype=dtype)
        except FlowsolveError as error:
            raise RecordError(
                f"prior: the run's prior {wanted['name']!r} cannot be loaded: {error}"
            ) from error
    if prior.sha256 != wanted["sha256"]:
        raise RecordError(
            f"prior: {prior.name!r} has SHA-256 {prior.sha256[:12]}…; the run used {wanted['name']!r} with "
            f"{wanted['sha256'][:12]}…"
        )
    return prior.as_recorded(wanted, dtype)


def _functional(described: dict[str, Any] | None) -> Functional | None:
    if described is None:
        return None
    if described["name"] not in functionals.registry:
        raise UnsupportedError(
            f"extra: a {described['name']!r} term cannot be built again from a record: not registered here"
        )
    return functionals.from_config(described)
