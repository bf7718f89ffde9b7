"""Multi-start: one problem from several starts, all in one batch, the best of them kept and all recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .driver import solve
from .errors import ArgumentError
from .initialise import Start, as_start, make_start, usual_start
from .numbers import as_count, is_number
from .objectives.base import Objective
from .priors.terms import LATENTS
from .result import Iterate, Result
from .solvers.base import Solver
from .tally import COUNTED

#: Name of a multi-start's start in the record: this, then the names of the starts, divided by commas.
PREFIX = "multistart:"


@dataclass
class MultiStart:
    """What `multistart` returns.

    Attributes
    ----------
    starts : list of str
        Names of the K starts.
    everything : Result
        The whole batch: all images from the first start, then all from the second, and so on.
    """

    starts: list[str]
    everything: Result

    @property
    def value(self) -> np.ndarray:
        """Lowest F of each image from each start, shape (K, N)."""
        return self._by_start(self.everything.value)

    @property
    def psnr(self) -> np.ndarray | None:
        """PSNR in dB of each image's last iterate from each start, (K, N); None without the truth."""
        trace = self.everything.trace
        return self._by_start(trace["psnr"][-1]) if "psnr" in trace else None

    @property
    def chosen(self) -> np.ndarray:
        """Which start gave each image its lowest F, shape (N,)."""
        return self.value.argmin(0)

    @property
    def best(self) -> Result:
        """Result of each image from the start that gave the lowest F; costs are those of all starts."""
        whole, n = self.everything, len(self.chosen)
        rows = self.chosen * n + np.arange(n)
        trace = {
            name: self._summed(column) if name in COUNTED else column[:, rows]
            for name, column in whole.trace.items()
        }
        return Result(
            best=_select(whole.best, rows),
            final=_select(whole.final, rows),
            status=[whole.status[row] for row in rows],
            trace=trace,
            counts={name: self._summed(column) for name, column in whole.counts.items()},
            iterations=whole.iterations[rows],
            seconds=whole.seconds,
            record=whole.record,
        )

    @classmethod
    def from_result(cls, result: Result, start: str) -> MultiStart:
        """Return the multi-start of a result, resumed perhaps, and the name its record gives the start."""
        if not start.startswith(PREFIX):
            raise ArgumentError("start", repr(start), f"the name of a multi-start, {PREFIX}NAME,NAME,...")
        return cls(start.removeprefix(PREFIX).split(","), result)

    def _by_start(self, column: np.ndarray) -> np.ndarray:
        return column.reshape(*column.shape[:-1], len(self.starts), -1)

    def _summed(self, column: np.ndarray) -> np.ndarray:
        return self._by_start(column).sum(-2)


def multistart(
    objective: Objective,
    solver: str | Solver = "lbfgs",
    starts: int | Sequence[str | Start | torch.Tensor] = 5,
    *,
    init: str = "auto",
    seed: int = 0,
    max_evaluations: int | None = None,
    **settings: Any,
) -> MultiStart:
    """Minimise an objective from several starts at once.

    Parameters
    ----------
    objective, solver
        As for `flowsolve.solve`; any solver.
    starts : int or sequence
        Names of starts, starts or tensors; a name may come more than once, each time with the next seed. A
        number K stands for `init` and K − 1 times ``random``.
    init : str
        First start, where `starts` is a number; ``auto`` as for `flowsolve.solve`.
    seed : int
        Seed of the first start; the next has the seed after it.
    max_evaluations : int, optional
        Evaluations of an image from all its starts together; each start gets an equal share.
    **settings
        Everything else that `flowsolve.solve` takes. A record holds all K · N runs, and can be resumed.

    Returns
    -------
    MultiStart
        ``.best`` is the result of each image's best start, ``.value`` and ``.psnr`` are of all.

    Raises
    ------
    ArgumentError, UnsupportedError
        As `flowsolve.solve`, or if there is no start or no evaluation for each.
    """
    first = usual_start(init, objective)
    wide, joined, share = widened(objective, _listed(starts, first), seed, max_evaluations)
    result = solve(wide, solver, joined, max_evaluations=share, seed=seed, **settings)
    return MultiStart.from_result(result, joined.name)


def widened(
    objective: Objective,
    starts: Sequence[str | Start | torch.Tensor],
    seed: int,
    max_evaluations: int | None,
) -> tuple[Objective, Start, int | None]:
    """Return the objective with every image once for each start, all starts as one, and each start's budget.

    Parameters
    ----------
    objective, starts, seed, max_evaluations
        As for `multistart`.
    """
    share = None
    if max_evaluations is not None:
        share = max_evaluations // len(starts)
        if share < 1:
            accepted = f"at least one for each of {len(starts)} starts"
            raise ArgumentError("max_evaluations", max_evaluations, accepted)
    made = [_made(objective, start, seed + k) for k, start in enumerate(starts)]
    wide = objective.select(torch.arange(len(objective)).repeat(len(made)))
    return wide, _joined(objective, made, seed), share


def _listed(
    starts: int | Sequence[str | Start | torch.Tensor], init: str
) -> Sequence[str | Start | torch.Tensor]:
    number = is_number(starts)
    starts = as_count(starts, "starts", least=1) if number else starts  # type: ignore[assignment]
    if number:
        return [init, *["random"] * (starts - 1)]  # type: ignore[operator]
    if isinstance(starts, str | bool | Start | torch.Tensor) or len(starts) == 0:  # type: ignore[arg-type]
        raise ArgumentError("starts", repr(starts), "a number >= 1, or a list of starts")
    return starts  # type: ignore[return-value]


def _made(objective: Objective, start: Any, seed: int) -> Start:
    problem, prior = objective.problem, objective.prior
    if isinstance(start, str):
        return make_start(start, problem, prior, seed=seed)
    latent = objective.space == LATENTS
    made = as_start(start, problem, prior, latent=latent, argument="starts")
    return made if isinstance(start, Start) else replace(made, name="given", seed=seed)


def _joined(objective: Objective, starts: Sequence[Start], seed: int) -> Start:
    """Return the starts one after the other along the batch: latents for synthesis, images for analysis."""
    name = PREFIX + ",".join(start.name.replace(",", ";") for start in starts)
    with torch.no_grad():
        points = []
        for start in starts:
            if start.x is not None:
                points.append(objective.from_image(start.x))
            else:
                assert start.z is not None
                points.append(objective.from_latent(start.z))
    joined = torch.cat(points)
    if objective.space == LATENTS:
        return Start(z=joined, name=name, seed=seed)
    return Start(x=joined, name=name, seed=seed)


def _select(iterate: Iterate, rows: np.ndarray) -> Iterate:
    index = torch.as_tensor(rows, device=iterate.x.device)
    return Iterate(iterate.x[index], iterate.z[index], iterate.value[rows], iterate.iteration[rows])
