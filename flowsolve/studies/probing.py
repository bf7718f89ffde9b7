"""A combination on trial: a run that is continued for as long as it is given."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from ..errors import FlowsolveError
from ..flows import FlowPrior
from ..initialise import Start
from ..objectives import FORMULATIONS, Objective
from ..run import Run
from ..solvers import make_solver
from .candidates import Candidate
from .criteria import Criterion


class Probe:
    """A candidate's run on the problem; a contender of `flowsolve.studies.halving`.

    Parameters
    ----------
    candidate : Candidate
        The combination.
    criterion : Criterion
        What ranks, with the problem.
    prior : FlowPrior
        The flow.
    start : Start
        The candidate's start.
    seed : int
        Seed of the start.
    clock : callable
        Returns the time in seconds.

    Attributes
    ----------
    seconds : float
        What it has taken, all told.
    error : str
        Why it could not go on; "" as long as it can.

    Raises
    ------
    ArgumentError, UnsupportedError
        If the combination has no meaning.
    """

    def __init__(
        self,
        candidate: Candidate,
        criterion: Criterion,
        prior: FlowPrior,
        start: Start,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.candidate, self.criterion, self._clock = candidate, criterion, clock
        self.group = candidate.formulation
        self.objective = make_objective(candidate, criterion, prior)
        # Halving sets the limits; a run must have one.
        limits = {"max_iter": None, "max_evaluations": None, "max_seconds": 1e9, "rtol": 1e-7}
        self.run = Run(self.objective, make_solver(candidate.solver), start, limits=limits, seed=seed)
        self._steps = iter(self.run)
        self.seconds, self.error, self.ended = 0.0, "", False

    def advance(self, seconds: float) -> None:
        """Go on for about so many seconds, at least by one iteration."""
        began = self._clock()
        longest = 0.0
        while not self.ended:
            turn = self._clock()
            try:
                self.ended = next(self._steps, None) is None
            except FlowsolveError as error:
                # A start at which F is not finite, for example: the others go on.
                self.error, self.ended = str(error), True
            now = self._clock()
            longest = max(longest, now - turn)
            # The next iteration would end nearer behind the limit than this one before it.
            if now - began + longest / 2 >= seconds:
                break
        self.seconds += self._clock() - began

    def score(self) -> float:
        """Return the best score so far, more is better; NaN of one that could not go on."""
        if self.error:
            return math.nan
        return self.criterion.sign * self.criterion.best(self.run)

    @property
    def iterations(self) -> int:
        """Iterations done."""
        return self.run.iteration

    @property
    def evaluations(self) -> float:
        """Evaluations of the objective, the mean over images."""
        return float(np.mean(self.run.tally.counts["evaluations"]))

    def close(self) -> None:
        """End the run; what it has found stays."""
        self.run.stop("stopped")
        if hasattr(self.run, "state"):
            self.run.solver.close(self.run.state)


def make_objective(candidate: Candidate, criterion: Criterion, prior: FlowPrior) -> Objective:
    """Return what a candidate minimises."""
    lam = candidate.lam if candidate.lam == "map" else float(candidate.lam)
    kind = FORMULATIONS[candidate.formulation]
    return kind(criterion.problem, prior, phi=candidate.phi, lam=lam, fidelity=criterion.fidelity)
