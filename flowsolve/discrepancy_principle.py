"""The discrepancy principle: the lam at which an image fits its measurements as well as the noise allows.

V. A. Morozov, "On the solution of functional equations by the method of regularization", Soviet Math.
Doklady 7, 1966: with noise of known energy mσ², a smaller residual fits noise and a larger one leaves signal
out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .driver import solve
from .errors import ArgumentError, UnsupportedError
from .fidelities import LeastSquares
from .initialise import Start, as_start, usual_start
from .objectives.base import Objective
from .priors.terms import LATENTS
from .result import Result
from .rootfinding import BracketedSearch
from .solvers.base import Solver, require_positive

#: Search in log lam: stride and reach of the expansion, and the width at which a bracket is narrow enough.
STRIDE, REACH, WIDTH = np.log(8.0), np.log(1e8), np.log(1.02)


@dataclass
class LambdaChoice:
    """What `discrepancy` returns.

    Attributes
    ----------
    objective : Objective
        The objective with the chosen weights, to be solved and recorded as any other.
    lam : numpy.ndarray, shape (N,)
        Chosen weight of each image.
    misfit, target : numpy.ndarray, shape (N,)
        ‖Ax − y‖² there, and τ mσ², what it should be.
    found : numpy.ndarray, shape (N,), bool
        Whether it is, within the tolerance; else the weight is the one tried that comes nearest.
    x, z : torch.Tensor, shape (N, C, H, W) and (N, n)
        Images and latents at the chosen weights.
    curve : dict of str to numpy.ndarray, shape (solves, N)
        ``lam``, ``misfit``, ``value`` and, where the truth is known, ``psnr`` of every solve, in order; NaN
        for images whose search had ended.
    evaluations : numpy.ndarray, shape (N,)
        Evaluations of the objective that the search cost.
    """

    objective: Objective
    lam: np.ndarray
    misfit: np.ndarray
    target: np.ndarray
    found: np.ndarray
    x: torch.Tensor
    z: torch.Tensor
    curve: dict[str, np.ndarray]
    evaluations: np.ndarray


def discrepancy(
    objective: Objective,
    solver: str | Solver = "lbfgs",
    init: str | Start | torch.Tensor = "auto",
    *,
    tau: float = 1.0,
    rtol: float = 0.05,
    max_solves: int = 15,
    warm: bool = True,
    **settings: Any,
) -> LambdaChoice:
    """Choose lam for every image so that ‖Ax − y‖² = τ mσ², m being the number of measured values.

    The misfit grows with lam, so that a bracket and ITP in log lam find the root; all images that are still
    searching are solved together.

    Parameters
    ----------
    objective : Objective
        Problem, prior and φ; the search starts from its lam.
    solver, init
        As for `flowsolve.solve`.
    tau : float
        τ, 1 or a little above.
    rtol : float
        How near to τ mσ² is near enough, relatively.
    max_solves : int
        How many times the objective is minimised at most.
    warm : bool
        Whether each solve starts from the last one's image (latent, for synthesis) instead of from `init`.
    **settings
        Limits of each solve and options of the solver, as for `flowsolve.solve`.

    Returns
    -------
    LambdaChoice

    Raises
    ------
    UnsupportedError
        If the problem has no noise, the data term is not least squares, or the prior has no weight.
    """
    _check(objective, tau, rtol, max_solves, settings)
    problem = objective.problem
    target = tau * problem.sigma**2 * problem.n_measurements.cpu().numpy().astype(np.float64)
    first = np.log(np.broadcast_to(torch.as_tensor(objective.weight).cpu().numpy(), target.shape))
    search = BracketedSearch(first, stride=STRIDE, width=WIDTH, reach=REACH)
    book = _Book(objective, target)
    init = usual_start(init, objective)
    start: str | Start | torch.Tensor = init
    if not isinstance(init, str):
        latent = objective.space == LATENTS
        start = as_start(init, problem, objective.prior, latent=latent)
    for _ in range(max_solves):
        going = np.flatnonzero(~search.done)
        if len(going) == 0:
            break
        part = objective.select(torch.as_tensor(going)).with_lam(np.exp(search.point[going]))
        result = solve(part, solver, _for(start, going), **settings)
        ratios = book.write(going, np.exp(search.point[going]), result)
        values = np.full(len(target), np.nan)
        values[going] = np.log(ratios)
        search.tell(values, np.log1p(rtol))
        if warm:
            start = book.start()
    return book.close(rtol)


class _Book:
    """Each image's best solve so far, its last one, and the curve."""

    def __init__(self, objective: Objective, target: np.ndarray) -> None:
        n, y = len(objective), objective.problem.y
        self.objective, self.target = objective, target
        self.x, self.z = y.new_zeros(n, *objective.shape), y.new_zeros(n, objective.prior.n)
        self.last = torch.zeros_like(self.z if objective.space == LATENTS else self.x)
        self.lam, self.misfit = np.full(n, np.nan), np.full(n, np.inf)
        self.rows: list[dict[str, np.ndarray]] = []
        self.evaluations = np.zeros(n, dtype=np.int64)

    def write(self, going: np.ndarray, lam: np.ndarray, result: Result) -> np.ndarray:
        """Keep what a solve of the images `going` led to; returns misfit over target."""
        rows = np.arange(len(going))
        at = result.best.iteration
        names = [name for name in ("data_fidelity", "psnr") if name in result.trace]
        columns: dict[str, np.ndarray] = {name: result.trace[name][at, rows] for name in names}
        misfit = 2 * columns.pop("data_fidelity")
        columns |= {"lam": lam, "misfit": misfit, "value": result.value}
        full = {name: np.full(len(self.lam), np.nan) for name in columns}
        for name, column in columns.items():
            full[name][going] = column
        self.rows.append(full)
        self.evaluations[going] += result.counts["evaluations"]
        ratio = np.maximum(misfit, np.finfo(float).tiny) / self.target[going]
        nearer = np.abs(np.log(ratio)) < np.abs(np.log(self.misfit[going] / self.target[going]))
        index = torch.as_tensor(going, device=self.x.device)
        self.last[index] = result.z if self.objective.space == LATENTS else result.x
        kept = torch.as_tensor(np.flatnonzero(nearer), device=self.x.device)
        self.x[index[kept]], self.z[index[kept]] = result.x[kept], result.z[kept]
        self.lam[going[nearer]], self.misfit[going[nearer]] = lam[nearer], misfit[nearer]
        return ratio

    def start(self) -> Start:
        """Return the last solve's points as a start."""
        name = "the last solve"
        if self.objective.space == LATENTS:
            return Start(z=self.last.clone(), name=name)
        return Start(x=self.last.clone(), name=name)

    def close(self, rtol: float) -> LambdaChoice:
        """Return the choice."""
        near = np.abs(np.log(self.misfit / self.target)) <= np.log1p(rtol)
        names = self.rows[0]
        curve = {name: np.stack([row[name] for row in self.rows]) for name in names}
        objective = self.objective.with_lam(self.lam)
        return LambdaChoice(
            objective, self.lam, self.misfit, self.target, near, self.x, self.z, curve, self.evaluations
        )


def _for(start: str | Start | torch.Tensor, going: np.ndarray) -> str | Start | torch.Tensor:
    """Return the start of the images `going` alone."""
    if isinstance(start, str):
        return start
    if isinstance(start, torch.Tensor):
        return start[torch.as_tensor(going, device=start.device)]
    tensors = {"x": start.x, "z": start.z}
    kept = {name: _for(t, going) for name, t in tensors.items() if t is not None}
    return Start(**kept, name=start.name, seed=start.seed)  # type: ignore[arg-type]


def _check(objective: Objective, tau: float, rtol: float, max_solves: int, settings: dict[str, Any]) -> None:
    if objective.problem.sigma == 0:
        raise UnsupportedError(
            "discrepancy: needs a problem with noise (sigma > 0); without it measurements are fitted exactly"
        )
    if not isinstance(objective.fidelity, LeastSquares):
        kind = type(objective.fidelity).__name__
        raise UnsupportedError(f"discrepancy: needs the fidelity LeastSquares, not {kind}")
    if not bool((torch.as_tensor(objective.weight) > 0).all()):
        raise ArgumentError("lam", "0", "a number > 0 to start the search from")
    require_positive("tau", tau)
    require_positive("rtol", rtol)
    require_positive("max_solves", max_solves)
    for name in ("record", "callback"):
        if name in settings:
            raise ArgumentError(
                name, settings[name], "none here: solve(choice.objective, ...) records the run"
            )
