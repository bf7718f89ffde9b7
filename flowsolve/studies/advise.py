"""Advice on a problem: what to run, found by trying several combinations on the problem itself.

The method that runs where nothing is asked for comes first, to its end, and is the one to beat.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError, FlowsolveError
from ..flows import FlowPrior
from ..initialise import Start, make_start
from ..problem import InverseProblem
from ..restoration import AUTO, restore
from .candidates import Candidate, MethodCandidate
from .criteria import ByObjective, Criterion, make_criterion
from .explaining import Tried, explain
from .halving import Contender, Standing, successive_halving
from .probing import Probe


@dataclass(frozen=True)
class Advice:
    """What `advise` returns.

    Attributes
    ----------
    chosen : Candidate or MethodCandidate
        The combination, or ``auto`` where none was better.
    max_iter : int or None
        Iterations at which a combination had the score that it was chosen for; None for ``auto``, which stops
        by itself.
    tried : list of Tried
        All combinations and ``auto``, the best first.
    criterion : Criterion
        What ranked.
    images : int
        Number of images it was tried on.
    seconds, budget : float
        Time taken and asked for.
    paragraph : str
        The choice in words.
    """

    chosen: Candidate | MethodCandidate
    max_iter: int | None
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
    """Try ``auto``, and combinations by successive halving in the time that it leaves, and choose.

    A combination is chosen only if its score is better than that of ``auto``. Where F ranks, which of stages
    and of combinations are different functions, ``auto`` is left out.

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

    first = [] if isinstance(rule, ByObjective) else [_tried_method(AUTO, rule, prior, seed, clock)]

    def turn(rung: int, number: int, contender: Contender) -> None:
        assert watch is not None and isinstance(contender, Probe)
        watch(rung, number, contender.candidate.label, (clock() - began) / budget)

    left = budget - (clock() - began)
    try:
        standings = successive_halving(probes, left, clock=clock, watch=None if watch is None else turn)
        tried = _placed(first, [_tried(standing, rule) for standing in standings], rule) + impossible
        chosen = tried[0].candidate
        max_iter = (
            None if first and tried[0].candidate == first[0].candidate else _iterations(rule, standings[0])
        )
    finally:
        for probe in probes:
            probe.close()
    if not np.isfinite(tried[0].score):
        raise ArgumentError("candidates", _reasons(tried), "a combination that can be run on the problem")
    seconds = clock() - began
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


def _tried_method(
    name: str, rule: Criterion, prior: FlowPrior, seed: int, clock: Callable[[], float]
) -> Tried:
    """Return what becomes of a method, run to its end on what combinations may see."""
    began, nan, candidate = clock(), float("nan"), MethodCandidate(name)
    try:
        result = restore(rule.seen, prior, name, seed=seed)
    except FlowsolveError as error:
        return Tried(candidate, 0, 0, 0.0, clock() - began, nan, nan, f"impossible: {error}")
    return Tried(
        candidate=candidate,
        rung=1,
        iterations=int(np.max(result.iterations)),
        evaluations=float(np.mean(result.counts["evaluations"])),
        seconds=clock() - began,
        start=nan,
        score=rule.of_images(result.x),
        verdict="the one to beat",
    )


def _placed(first: list[Tried], others: list[Tried], rule: Criterion) -> list[Tried]:
    """Return all that was tried, the best first; combinations that are no better come after the method."""
    tried = list(others)
    for method in first:
        better = [t for t in others if rule.sign * (t.score - method.score) > 0]
        place = len(better) if np.isfinite(method.score) else len(others)
        tried.insert(place, method)
    for place, verdict in enumerate(("chosen", "runner-up")[: len(tried)]):
        # What was never run is no runner-up, wherever it stands.
        if tried[place].rung and not tried[place].verdict.startswith("impossible"):
            tried[place] = dataclasses.replace(tried[place], verdict=verdict)
    return tried


def _iterations(rule: Criterion, standing: Standing) -> int:
    """Return the iterations at which a combination had its best score."""
    contender = standing.contender
    assert isinstance(contender, Probe)
    iterations, scores = rule.curve(contender.run) if not contender.error else (np.zeros(1), np.zeros(1))
    return stopping_iteration(iterations, rule.sign * scores)


def stopping_iteration(iterations: np.ndarray, scores: np.ndarray) -> int:
    """Return how many iterations a run should be given, from its curve: those up to its best score.

    Parameters
    ----------
    iterations : numpy.ndarray, shape (K,)
        Iterations, ascending.
    scores : numpy.ndarray, shape (K,)
        Score at each, more is better.

    Returns
    -------
    int
        At least one: more could do better, or worse, and nobody has seen it.
    """
    last = int(iterations[-1])
    best = int(iterations[int(np.nanargmax(scores))]) if np.isfinite(scores).any() else last
    # What only makes its start worse would be told not to move at all: one iteration shows it.
    return max(1, best)


def _tried(standing: Standing, rule: Criterion) -> Tried:
    probe = standing.contender
    assert isinstance(probe, Probe)
    verdict, start = standing.reason or "in the last rung", float("nan")
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
