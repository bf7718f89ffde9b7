"""One JSON document from which a run can be repeated."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch

from ..objectives.base import Objective, require_describable
from ..solvers.base import Solver, describe
from ..stopping import Criterion, describe_criterion

if TYPE_CHECKING:
    from ..initialise import Start
    from ..problem import InverseProblem

#: Packages whose versions can change the numbers of a run.
PACKAGES = ("flowsolve", "torch", "numpy", "scipy", "h5py", "pyxu", "safetensors", "scikit-image")


def describe_run(
    objective: Objective,
    solver: Solver,
    start: Start,
    seed: int,
    limits: dict[str, Any],
    criterion: Criterion,
) -> dict[str, Any]:
    """Return the run's configuration, JSON-able.

    Parameters
    ----------
    objective, solver, start : Objective, Solver, Start
        What is minimised, by what, from where.
    seed : int
        Seed of the start.
    limits : dict
        The usual limits, as given to ``solve``.
    criterion : Criterion
        The stopping criterion they make, with any further one.
    """
    require_describable(objective)
    prior, problem = objective.prior, objective.problem
    return {
        "operator": problem.operator.config(),
        "noise": _describe_noise(problem),
        **({} if problem.task is None else {"task": problem.task.config()}),
        **_describe_frame(problem),
        "n_images": len(problem),
        "image_shape": list(objective.shape),
        "prior": {
            "name": prior.name,
            "source": prior.source,
            "sha256": prior.sha256,
            **prior.settings(),
        },
        "objective": objective.config(),
        "solver": {**describe(solver), "resumes_exactly": solver.resumes_exactly()},
        "initialiser": {"name": start.name, "seed": seed},
        "limits": limits,
        "stopping": describe_criterion(criterion),
        "dtype": _dtype_name(prior.dtype),
        "device": str(prior.device),
        "threads": torch.get_num_threads(),
        "versions": current_versions(),
    }


def _describe_noise(problem: InverseProblem) -> dict[str, Any]:
    """Return model and level of the noise, and the model's parameters where the level is not all of them."""
    described = problem.noise.config()
    model = described.pop("name")
    estimated = {"estimated": True} if problem.sigma_estimated else {}
    parameters = {} if described == {"sigma": problem.sigma} else {"parameters": described}
    return {"model": model, "sigma": problem.sigma, **parameters, **estimated}


def _describe_frame(problem: InverseProblem) -> dict[str, Any]:
    """Return first and last rows and columns that measurements show, where they do not show all."""
    frame = problem.operator.frame
    return {} if frame is None else {"frame": [[side.start, side.stop] for side in frame]}


def current_versions() -> dict[str, str | None]:
    """Return the versions that can change the numbers of a run."""
    return {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES}


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
