"""From a record back to the objects it describes: problem, prior, objective, solver, start, criteria."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .. import fidelities
from ..errors import FlowsolveError, RecordError, UnsupportedError
from ..flows import FlowPrior, load_prior
from ..functionals import Box, Functional, TotalVariation
from ..initialise import Start
from ..objectives import BY_NAME, Objective
from ..operators import from_config
from ..problem import InverseProblem
from ..solvers.base import Solver, make_solver
from ..stopping import Criterion, criterion_from_config
from .config import current_versions
from .reader import RunRecord

FUNCTIONALS: dict[str, type[Functional]] = {"box": Box, "tv": TotalVariation}


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
    """

    objective: Objective
    solver: Solver
    init: str | Start
    seed: int
    limits: dict[str, Any]
    criterion: Criterion


def rebuild(record: RunRecord, prior: FlowPrior | None = None) -> Rebuilt:
    """Return the objects of a run.

    Parameters
    ----------
    record : RunRecord
        The run.
    prior : FlowPrior, optional
        The prior, where it cannot be loaded from where the run had it; the objective gets it in the
        dtypes and the memory mode of the run.

    Raises
    ------
    RecordError
        If the prior is not there or is another one (by its SHA-256).
    UnsupportedError
        If the run used an object that a configuration cannot describe.
    """
    config = record.config
    prior = prior_of(config, prior)
    problem = problem_of(record)
    described = config["objective"]
    objective = BY_NAME[described["formulation"]](
        problem,
        prior,
        phi=described["phi"],
        lam=described["lam"],
        extra=_functional(described["extra"]),
        fidelity=fidelities.from_config(described["fidelity"]),
        **described.get("options", {}),
    )
    start = config["initialiser"]
    given = {name: torch.from_numpy(array).to(objective.problem.y) for name, array in record.start.items()}
    return Rebuilt(
        objective,
        make_solver(config["solver"]["name"], **config["solver"]["options"]),
        Start(**given, name=start["name"], seed=start["seed"]) if given else start["name"],
        start["seed"],
        config["limits"],
        criterion_from_config(config["stopping"]),
    )


def problem_of(record: RunRecord) -> InverseProblem:
    """Return the problem of a record: its operator, measurements and, where known, the truth."""
    data = record.problem
    operator = from_config(record.config["operator"])
    return InverseProblem(operator, data["y"], sigma=float(data["sigma"]), x_true=data.get("x_true"))


def version_differences(record: RunRecord) -> dict[str, tuple[str | None, str | None]]:
    """Return package → (version then, version now) for those that have changed since the run."""
    now = current_versions()
    then = record.config["versions"]
    return {name: (then.get(name), now.get(name)) for name in now if then.get(name) != now.get(name)}


def prior_of(config: dict[str, Any], prior: FlowPrior | None) -> FlowPrior:
    """Return the prior of a configuration: the one given, if it is that one, else loaded from where it was.

    Raises
    ------
    RecordError
        If it is not there or is another one (by its SHA-256).
    """
    wanted, dtype = config["prior"], getattr(torch, config["dtype"])
    if prior is None:
        try:
            prior = load_prior(wanted["source"] or wanted["name"], device=config["device"], dtype=dtype)
        except FlowsolveError as error:
            raise RecordError(
                f"prior: the run's prior {wanted['name']!r} cannot be loaded: {error}"
            ) from error
    if prior.sha256 != wanted["sha256"]:
        raise RecordError(
            f"prior: {prior.name!r} has SHA-256 {prior.sha256[:12]}…; the run used {wanted['name']!r} with "
            f"{wanted['sha256'][:12]}…"
        )
    return _as_in_the_run(wanted, prior, dtype)


def _as_in_the_run(wanted: dict[str, Any], prior: FlowPrior, dtype: torch.dtype) -> FlowPrior:
    """Return the prior with the dtypes and the memory mode of the run.

    What the record does not name, as those of older versions, stays as the prior has it.
    """
    if prior.dtype != dtype:
        prior = prior.to(dtype=dtype)
    coupling_dtype = wanted.get("coupling_dtype")
    if coupling_dtype is not None:
        coupling_dtype = getattr(torch, coupling_dtype, coupling_dtype)
        if prior.coupling_dtype != coupling_dtype:
            prior = prior.to(coupling_dtype=coupling_dtype)
    memory = wanted.get("memory", prior.memory)
    return prior if memory == prior.memory else prior.with_memory(memory)


def _functional(described: dict[str, Any] | None) -> Functional | None:
    if described is None:
        return None
    options = dict(described)
    name = options.pop("name")
    if name not in FUNCTIONALS:
        raise UnsupportedError(f"extra: a {name!r} term cannot be built again from a record")
    return FUNCTIONALS[name](**options)
