"""From the record of a method back to the method that wrote it, not begun yet."""

from __future__ import annotations

from pathlib import Path

from ..priors.base import Prior, require_flow
from ..problem import InverseProblem
from ..recording import RunRecord
from ..recording.rebuild import build, measures_of, prior_of
from .base import KEYS, Method
from .guard import classical_guard
from .running import MethodRun


def method_of(
    record: RunRecord,
    prior: Prior | None,
    problem: InverseProblem,
    path: str | Path | None = None,
    *,
    resumed: bool = False,
) -> MethodRun:
    """Return the method of a record, not begun.

    Parameters
    ----------
    record : RunRecord
        The record of a method.
    prior : Prior, optional
        The prior that the method was given, where it cannot be loaded from where it was.
    problem : InverseProblem
        The problem, as rebuilt from the record.
    path : path, optional
        File to record this run of it to.
    resumed : bool
        Whether it goes on where the record ends.
    """
    described, config = record.config["method"], record.config
    method = build("method", lambda: Method.from_json({key: described[key] for key in KEYS}))
    # Dtype and memory mode are the same for all stages.
    own = {key: described["prior"][key] for key in ("name", "sha256")}
    flow = require_flow(prior_of({**config, "prior": {**config["prior"], **own}}, prior), "a method")
    return build(
        "method",
        lambda: MethodRun(
            method,
            problem,
            flow,
            seed=config["initialiser"]["seed"],
            max_seconds=described["max_seconds"],
            record=path,
            guard=classical_guard if method.guarded else None,
            hashes=described["priors"],
            measures=measures_of(config),
            resumed=resumed,
        ),
    )
