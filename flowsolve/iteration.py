"""Step access: the iterations of a run as a ``for`` loop sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .driver import make_run
from .initialise import Start
from .objectives.base import Objective
from .result import Result
from .run import Run
from .solvers.base import Solver
from .stopping import Progress


@dataclass
class Step(Progress):
    """What an iteration led to: a `Progress` with the point itself.

    Attributes
    ----------
    u : torch.Tensor, shape (N, ...)
        Variable of each image, images or latents; a copy.
    grad : torch.Tensor or None
        ∇F at `u`, of its shape; NaN for images that have ended, None where the solver has none at hand.
    counts : dict of str to numpy.ndarray, shape (N,)
        Evaluations and operator applications so far; see `flowsolve.tally.COUNTED`.
    objective : Objective
        What is minimised, as it was given: its values do not count for the run.
    """

    u: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    grad: torch.Tensor | None = None
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    objective: Objective | None = None

    @property
    def x(self) -> torch.Tensor:
        """Images at `u`, shape (N, C, H, W); computed when asked for, outside the run's clock and counts."""
        assert self.objective is not None
        with torch.no_grad():
            return self.objective.image(self.u)


class Iterations:
    """An iterable of `Step`, one for each iteration, to be looped over once.

    Leaving the loop early ends the run as ``stopped``; a second loop raises `UnsupportedError`.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def __iter__(self) -> Iterator[Step]:
        with self.run:
            try:
                for progress in self.run:
                    yield self._step(progress)
            except GeneratorExit:
                # The caller's `break`: an end like any other, and the record is finished.
                return

    def result(self) -> Result:
        """Return the result as it stands: after the loop, or as far as it went.

        Raises
        ------
        UnsupportedError
            If the loop has not begun.
        """
        return self.run.result()

    def _step(self, progress: Progress) -> Step:
        run = self.run
        grad, at = None, run.state.evaluation.grad
        if at is not None and at.shape[1:] == run.u.shape[1:]:
            grad = torch.full_like(run.u, torch.nan)
            # When the last images end at once the state still has them.
            rows = run.active if len(run.active) else np.flatnonzero(progress.active)
            grad[torch.as_tensor(rows, device=grad.device)] = at
        # The trace grows on: a step that is kept must not.
        parts = vars(progress) | {"trace": {name: list(rows) for name, rows in progress.trace.items()}}
        return Step(**parts, u=run.u.clone(), grad=grad, counts=run.tally.copy(), objective=run.objective)


def iterate(
    objective: Objective,
    solver: str | Solver = "lbfgs",
    init: str | Start | torch.Tensor = "auto",
    **settings: Any,
) -> Iterations:
    """Minimise an objective one iteration at a time.

    Parameters
    ----------
    objective, solver, init
        As for `flowsolve.solve`.
    **settings
        Everything else that `flowsolve.solve` takes, but `callback`.

    Returns
    -------
    Iterations
        To loop over; then ``.result()`` is what `flowsolve.solve` would have returned: the trace is the same.

    Raises
    ------
    ArgumentError, UnsupportedError
        As `flowsolve.solve`.

    Examples
    --------
    >>> steps = fs.iterate(objective, solver="lbfgs", init="zeros", max_iter=100)  # doctest: +SKIP
    >>> for step in steps:                                                         # doctest: +SKIP
    ...     if step.value.max() < 1:
    ...         break
    >>> steps.result().status                                                      # doctest: +SKIP
    ['stopped', 'stopped']
    """
    return Iterations(make_run(objective, solver, init, **settings))
