"""Go on from a stage or from a classical restoration: what neither has seen of the measurements decides."""

from __future__ import annotations

import numpy as np
import torch

from .. import baselines
from ..errors import ArgumentError
from ..fidelities import HeldOutLeastSquares
from ..initialise import Start
from ..objectives import Objective
from ..operators import Mask
from ..problem import InverseProblem

TRUST = 1.07
"""Misfit of the stage before, in units of the classical one's, up to which it is gone on from: it has
filled a hole without a neighbour to go by, which the next stage mends."""


def checked_start(name: str, objective: Objective, x: torch.Tensor, seed: int) -> Start:
    """Return where a stage ended, or a restoration that predicts what was held out better, image by image.

    Parameters
    ----------
    name : str
        A baseline. For the comparison it restores from what the stage has fitted, for the start from
        everything.
    objective : Objective
        What the stage minimised; it held measurements out.
    x : torch.Tensor, shape (N, C, H, W)
        Where it ended.
    seed : int
        Seed of the run, for the start.

    Raises
    ------
    ArgumentError
        If the stage held nothing out, or the measurements are not pixels behind a mask.
    """
    problem, fidelity = objective.problem, objective.fidelity
    if not isinstance(fidelity, HeldOutLeastSquares):
        raise ArgumentError("init", f"'checked:{name}'", "a named start, or a stage before it that holds out")
    restore = baselines.registry.get(name)
    rest = without(problem, fidelity)
    if rest is None:
        return Start(x=restore(problem), name=name, seed=seed)
    reached = fidelity.misfit(problem.operator.apply(x), problem.y).sqrt()
    classical = fidelity.misfit(problem.operator.apply(restore(rest)), problem.y).sqrt()
    trusted = reached <= TRUST * classical
    if trusted.all():
        return Start(x=x, name="previous", seed=seed)
    rows, distrusted = trusted.reshape(-1, 1, 1, 1), int((~trusted).sum())
    described = f"previous, {name} for {distrusted} of {len(x)} images"
    return Start(x=torch.where(rows, x, restore(problem)), name=described, seed=seed)


def without(problem: InverseProblem, fidelity: HeldOutLeastSquares) -> InverseProblem | None:
    """Return a problem of masked pixels without those that are held out, or None if an image had none left.

    Raises
    ------
    ArgumentError
        If the operator is not a mask.
    """
    operator, y = problem.operator, problem.y
    if not isinstance(operator, Mask):
        raise ArgumentError("init", f"'checked:' for {operator}", "a mask, whose measurements are pixels")
    kept = ~fidelity.held_out(tuple(y.shape[1:]))
    weights = np.asarray(operator.mask) * kept
    if not weights.any(axis=tuple(range(-3, 0))).all():
        return None
    mask = Mask(weights, operator.dim_shape)
    return InverseProblem(mask, y * torch.as_tensor(kept).to(y), sigma=problem.sigma)
