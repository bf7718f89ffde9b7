"""Validation search: which weight, φ or solver option restores images best whose truth is known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .driver import solve
from .errors import ArgumentError
from .flows import FlowPrior
from .objectives import FORMULATIONS
from .problem import InverseProblem

#: Settings that belong to the objective; all others go to `flowsolve.solve`.
OF_OBJECTIVE = ("phi", "lam", "extra", "fidelity")


@dataclass(frozen=True)
class Trial:
    """One combination of settings and what it led to.

    Attributes
    ----------
    settings : dict
        The combination.
    psnr : numpy.ndarray, shape (N,)
        PSNR in dB of each image's best iterate.
    value : numpy.ndarray, shape (N,)
        Its F. Values at different weights are of different objectives.
    evaluations : numpy.ndarray, shape (N,)
        What it cost.
    """

    settings: dict[str, Any]
    psnr: np.ndarray
    value: np.ndarray
    evaluations: np.ndarray


@dataclass(frozen=True)
class Tuning:
    """What `tune` returns.

    Attributes
    ----------
    trials : list of Trial
        All combinations, in the order of the grid.
    """

    trials: list[Trial]

    @property
    def best(self) -> Trial:
        """The trial with the highest mean PSNR; of equals the first."""
        return max(self.trials, key=lambda trial: trial.psnr.mean())

    def curve(self, name: str) -> tuple[list[Any], np.ndarray]:
        """Return the values of a setting and the highest mean PSNR reached with each.

        Raises
        ------
        ArgumentError
            If the setting was not searched.
        """
        searched = list(self.trials[0].settings)
        if name not in searched:
            raise ArgumentError("name", repr(name), " or ".join(map(repr, searched)))
        values: list[Any] = []
        for trial in self.trials:
            if trial.settings[name] not in values:
                values.append(trial.settings[name])
        scores = [max(t.psnr.mean() for t in self.trials if t.settings[name] == value) for value in values]
        return values, np.array(scores)


def tune(
    problem: InverseProblem | Sequence[InverseProblem],
    prior: FlowPrior,
    grid: Mapping[str, Sequence[Any]],
    *,
    formulation: str = "analysis",
    **settings: Any,
) -> Tuning:
    """Try every combination of a grid of settings on problems with known truth.

    Tune on images that the results are not reported on: the choice has seen their truth.

    Parameters
    ----------
    problem : InverseProblem or sequence of them
        Validation problems, each with `x_true`.
    prior : FlowPrior
        The flow.
    grid : mapping of str to sequence
        Values to try of each setting: ``lam``, ``phi``, ``formulation``, ``solver``, ``init``, any limit and
        any option of the solver.
    formulation : {"analysis", "synthesis"}
        Formulation, where the grid does not have it.
    **settings
        Settings that stay as they are, as for `flowsolve.solve` and the objective.

    Returns
    -------
    Tuning
        ``.best`` and the whole ``.curve(name)``.

    Raises
    ------
    ArgumentError
        If a problem has no truth, the grid is empty, or a setting has a bad value.
    """
    problems = [problem] if isinstance(problem, InverseProblem) else list(problem)
    if not problems or any(p.x_true is None for p in problems):
        raise ArgumentError("problem", "one without x_true", "problems whose clean images are known")
    if not grid or any(isinstance(v, str) or len(v) == 0 for v in grid.values()):
        raise ArgumentError("grid", dict(grid), "for each setting a list of values to try")
    twice = sorted(set(grid) & {*settings, "record", "callback"})
    if twice:
        raise ArgumentError(
            "grid", ", ".join(twice), "settings that are not given otherwise; no record, no callback"
        )
    fixed = {"formulation": formulation, **settings}
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return Tuning([_trial(problems, prior, fixed, combination) for combination in combinations])


def _trial(
    problems: list[InverseProblem], prior: FlowPrior, fixed: dict[str, Any], combination: dict[str, Any]
) -> Trial:
    options = {**fixed, **combination}
    formulation = options.pop("formulation")
    if formulation not in FORMULATIONS:
        raise ArgumentError("formulation", repr(formulation), " or ".join(map(repr, FORMULATIONS)))
    of_objective = {name: options.pop(name) for name in OF_OBJECTIVE if name in options}
    columns: dict[str, list[np.ndarray]] = {"psnr": [], "value": [], "evaluations": []}
    for problem in problems:
        result = solve(FORMULATIONS[formulation](problem, prior, **of_objective), **options)
        rows = np.arange(len(problem))
        columns["psnr"].append(result.trace["psnr"][result.best.iteration, rows])
        columns["value"].append(result.value)
        columns["evaluations"].append(result.counts["evaluations"])
    return Trial(combination, **{name: np.concatenate(parts) for name, parts in columns.items()})
