"""Advice on a problem: which combination to run, found by trying several on the problem itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError, FlowsolveError
from ..flows import FlowPrior
from ..initialise import Start, make_start
from ..problem import InverseProblem
from .candidates import Candidate
from .criteria import ByObjective, Criterion, make_criterion
from .explaining import Tried, explain
from .halving import Contender, Standing, successive_halving
from .probing import Probe

#: Iterations of a run whose image was still getting better when the time was up, at least.
ITERATIONS = 400

#: Part of the iterations that must lie behind the best image to say that the run should stop there.
BEHIND = 0.1


@dataclass(frozen=True)
class Advice:
    """What `advise` returns.

    Attributes
    ----------
    chosen : Candidate
        The combination.
    max_iter : int
        Iterations to give it.
    tried : list of Tried
        All combinations, the best first.
    criterion : Criterion
        What ranked.
    images : int
        Number of images it was tried on.
    seconds, budget : float
        Time taken and asked for.
    paragraph : str
        The choice in words.
    """

    chosen: Candidate
    max_iter: int
    tried: list[Tried]
    criterion: Criterion
    images: int
    seconds: float
    budget: float
    paragraph: str


def advise(
    problem: InverseProblem,
    prior: FlowPrior,
    candidates: Sequence[Candidate],
    budget: float,
    *,
    criterion: str = "auto",
    seed: int = 0,
    began: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    watch: Callable[[int, int, str, float], None] | None = None,
) -> Advice:
    """Try combinations on a problem by successive halving and choose one.

    Parameters
    ----------
    problem : InverseProblem
        The problem; few images, since each is computed for every combination.
    prior : FlowPrior
        The flow.
    candidates : sequence of Candidate
        The combinations.
    budget : float
        Seconds for everything, making the starts included.
    criterion : {"auto", "psnr", "held-out", "objective"}
        What ranks: see `flowsolve.studies.criteria`.
    seed : int
        Seed of random starts and of what is held out.
    began : float, optional
        When the budget began, by `clock`; now unless given.
    clock : callable
        Returns the time in seconds.
    watch : callable, optional
        Called with the rung, the number of rungs, the label of the combination whose turn it is and the part
        of the budget that is gone.

    Returns
    -------
    Advice

    Raises
    ------
    ArgumentError
        If the budget is not > 0, the criterion does not fit, or no combination can be run on the problem.
    """
    began = clock() if began is None else began
    if not (np.isfinite(budget) and budget > 0):
        raise ArgumentError("budget", budget, "a number of seconds > 0")
    if not candidates:
        raise ArgumentError("candidates", "none", "one or more combinations")
    rule = make_criterion(criterion, problem, seed)
    probes, impossible = _probes(candidates, rule, prior, seed, clock)
    if isinstance(rule, ByObjective):
        _check_one_objective(probes)

    def turn(rung: int, number: int, contender: Contender) -> None:
        assert watch is not None and isinstance(contender, Probe)
        watch(rung, number, contender.candidate.label, (clock() - began) / budget)

    left = budget - (clock() - began)
    try:
        standings = successive_halving(probes, left, clock=clock, watch=None if watch is None else turn)
        max_iter = _iterations(rule, standings[0].contender)
        tried = [_tried(standing, place, rule) for place, standing in enumerate(standings)] + impossible
    finally:
        for probe in probes:
            probe.close()
    if not np.isfinite(tried[0].score):
        raise ArgumentError("candidates", _reasons(tried), "a combination that can be run on the problem")
    seconds = clock() - began
    chosen = tried[0].candidate
    paragraph = explain(tried, rule, len(problem), seconds, budget, max_iter)
    return Advice(chosen, max_iter, tried, rule, len(problem), seconds, budget, paragraph)


def _probes(
    candidates: Sequence[Candidate],
    rule: Criterion,
    prior: FlowPrior,
    seed: int,
    clock: Callable[[], float],
) -> tuple[list[Probe], list[Tried]]:
    """Return what can be tried, and the combinations that have no meaning with the reason."""
    starts: dict[str, Start | FlowsolveError] = {}
    probes, impossible = [], []
    for candidate in candidates:
        name = candidate.init
        if name not in starts:
            try:
                starts[name] = make_start(name, rule.seen, prior, seed=seed)
            except FlowsolveError as error:
                starts[name] = error
        start = starts[name]
        try:
            if isinstance(start, FlowsolveError):
                raise start
            probes.append(Probe(candidate, rule, prior, start, seed, clock))
        except FlowsolveError as error:
            nan = float("nan")
            impossible.append(Tried(candidate, 0, 0, 0.0, 0.0, nan, nan, f"impossible: {error}"))
    if not probes:
        raise ArgumentError(
            "candidates", _reasons(impossible), "a combination that can be run on the problem"
        )
    return probes, impossible


def _check_one_objective(probes: Sequence[Probe]) -> None:
    """Refuse to compare values of different functions."""
    found = {
        (probe.objective.phi, str(probe.objective.config()["lam_value"]), probe.objective.constrained)
        for probe in probes
    }
    if len(found) > 1:
        raise ArgumentError(
            "criterion",
            "'objective' for combinations with different prior terms, weights or constraints",
            "psnr or held-out: values of different functions cannot be compared",
        )


def _iterations(rule: Criterion, contender: Contender) -> int:
    """Return how many iterations to give: up to the best image, if the run went clearly past it."""
    assert isinstance(contender, Probe)
    iterations, scores = rule.curve(contender.run) if not contender.error else (np.zeros(1), np.zeros(1))
    return stopping_iteration(iterations, rule.sign * scores)


def stopping_iteration(iterations: np.ndarray, scores: np.ndarray) -> int:
    """Return how many iterations a run should be given, from its curve.

    Parameters
    ----------
    iterations : numpy.ndarray, shape (K,)
        Iterations, ascending.
    scores : numpy.ndarray, shape (K,)
        Score at each, more is better.

    Returns
    -------
    int
        Those up to the best score where at least a tenth of the run lies behind it; otherwise, since it was
        still getting better, twice as many as were tried, and at least 400.
    """
    last = int(iterations[-1])
    best = int(iterations[int(np.nanargmax(scores))]) if np.isfinite(scores).any() else last
    # A method that only makes its start worse would be told not to move at all: one iteration shows it.
    if last - best >= max(1.0, BEHIND * last):
        return max(1, best)
    return max(ITERATIONS, 2 * last)


def _tried(standing: Standing, place: int, rule: Criterion) -> Tried:
    probe = standing.contender
    assert isinstance(probe, Probe)
    # What was never run is no runner-up, wherever it stands.
    placed = ("chosen", "runner-up")[place] if place < 2 and standing.rung else ""
    verdict, start = placed or standing.reason or "in the last rung", float("nan")
    if probe.error:
        verdict = f"impossible: {probe.error}"
    elif standing.rung:
        start = float(rule.curve(probe.run)[1][0])
    return Tried(
        candidate=probe.candidate,
        rung=standing.rung,
        iterations=probe.iterations,
        evaluations=probe.evaluations,
        seconds=probe.seconds,
        start=start,
        score=rule.sign * standing.score,
        verdict=verdict,
    )


def _reasons(tried: Sequence[Tried]) -> str:
    return "; ".join(dict.fromkeys(f"{t.candidate.label}: {t.verdict}" for t in tried))
