"""What a run was, in the words of a plan, for records that no plan knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..files import read_text
from ..solvers import make_solver, registry
from .cells import named_as_method

#: Operators of the named tasks, as their configurations are called.
TASKS = {"identity": "denoise", "blur": "deblur", "downsample": "super-resolution"}

#: What an operator's configuration holds beside its options.
NOT_OPTIONS = ("name", "dim_shape", "codim_shape")


def parameters_of_record(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run that no plan knows, under the names that cells of a plan have.

    Parameters
    ----------
    path : path
        The record. Beside the ``run.h5`` of ``flowsolve solve`` its ``summary.json`` tells task and images.
    config : dict
        Its configuration.

    Returns
    -------
    dict
        ``id``, ``task``, ``sigma``, ``operator``, ``prior``, ``formulation``, ``phi``, ``lam``, ``solver``,
        ``solver_name``, ``solver_options``, ``start``, ``seed`` and ``images``; of a method also ``method``.
    """
    summary = _summary(path)
    operator, objective, solver = config["operator"], config["objective"], config["solver"]
    names = [str(image["name"]) for image in summary.get("images", [])]
    n = config["n_images"]
    found = {
        "id": path.parent.name if path.name == "run.h5" else path.stem,
        "task": summary.get("task") or (config.get("task") or {}).get("name") or task_of(operator),
        "sigma": config["noise"]["sigma"],
        "operator": {k: v for k, v in operator.items() if k not in NOT_OPTIONS},
        "prior": config["prior"]["name"],
        "formulation": objective["formulation"],
        "phi": objective["phi"],
        "lam": objective["lam"],
        "solver": solver_label(solver["name"], solver["options"]),
        "solver_name": solver["name"],
        "solver_options": solver["options"],
        "start": config["initialiser"]["name"],
        "seed": config["initialiser"]["seed"],
        "images": names if len(names) == n else [str(i) for i in range(n)],
    }
    method = config.get("method")
    if method is None:
        return found
    own = {"method": method["name"], "prior": method["prior"]["name"]}
    return found | named_as_method(method["name"]) | own | {"solver_name": "", "solver_options": {}}


def task_of(operator: dict[str, Any]) -> str:
    """Return the task that an operator's configuration belongs to, or the operator's own name."""
    name = str(operator.get("name", "unknown"))
    if name == "mask":
        mask = operator.get("mask")
        kinds = mask if isinstance(mask, dict) else {}
        return "inpaint-random" if "random" in kinds else "inpaint-box" if "box" in kinds else "inpaint"
    return TASKS.get(name, name)


def solver_label(name: str, options: dict[str, Any]) -> str:
    """Return the name of a solver with the options that are not the usual ones: ``lbfgs(history=5)``."""
    usual = make_solver(name).config() if name in registry else {}
    told = ",".join(f"{key}={_word(value)}" for key, value in options.items() if value != usual.get(key, ...))
    return f"{name}({told})" if told else name


def operator_label(options: dict[str, Any]) -> str:
    """Return an operator's options on one line, arrays and long values by a few words."""
    return ",".join(f"{key}={_word(value)}" for key, value in sorted(options.items()))


def _word(value: Any) -> str:
    if isinstance(value, dict):
        if "data" in value and "shape" in value:
            return f"array{_shape(value['shape'])}"
        return "{" + ",".join(f"{k}:{_word(v)}" for k, v in value.items()) + "}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _shape(value: Any) -> str:
    """Return a shape as a tuple is written; anything else that stands in its place as it is."""
    return str(tuple(value)) if isinstance(value, list) else str(value)[:40]


def _summary(path: Path) -> dict[str, Any]:
    """Return the summary that ``flowsolve solve`` wrote beside a record, empty where there is none."""
    if path.name != "run.h5":
        return {}
    try:
        summary = json.loads(read_text(path.parent / "summary.json"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) and isinstance(summary.get("images", []), list) else {}
