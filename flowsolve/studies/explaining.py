"""Why a combination was chosen, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .candidates import Candidate, MethodCandidate
from .criteria import Criterion


@dataclass(frozen=True)
class Tried:
    """What became of a combination.

    Attributes
    ----------
    candidate : Candidate or MethodCandidate
        The combination, or a method.
    rung : int
        Last rung it took part in; 0 if it was not tried.
    iterations, evaluations, seconds : int, float, float
        What it has had; evaluations are the mean over images.
    start, score : float
        Score at its start and the best along its run, in the criterion's unit; NaN where there is none.
    verdict : str
        ``chosen``, ``runner-up``, or why it went no further.
    """

    candidate: Candidate | MethodCandidate
    rung: int
    iterations: int
    evaluations: float
    seconds: float
    start: float
    score: float
    verdict: str


def explain(
    tried: Sequence[Tried], rule: Criterion, images: int, seconds: float, budget: float, max_iter: int | None
) -> str:
    """Return a paragraph on what was tried, by what it was ranked, and what came out.

    Parameters
    ----------
    tried : sequence of Tried
        All combinations, the chosen one first.
    rule : Criterion
        What ranked.
    images : int
        Number of images.
    seconds, budget : float
        Time taken and asked for.
    max_iter : int or None
        Iterations that are advised; None for a method.
    """
    words = [_what(tried, images, seconds, budget), rule.explain(), *_outcome(tried, rule)]
    if max_iter is None:
        words.append("It stops by itself.")
    elif rule.sign * (tried[0].score - tried[0].start) <= 0:
        words.append("No run improved on its start: keep the classical restoration it started from.")
    elif max_iter < tried[0].iterations:
        words.append(f"It was best after {max_iter} iterations and got worse while F fell on: stop there.")
    else:
        words.append(f"It had not passed its best yet: more than {max_iter} iterations may do better.")
    return " ".join(words)


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _what(tried: Sequence[Tried], images: int, seconds: float, budget: float) -> str:
    combinations = [t for t in tried if isinstance(t.candidate, Candidate)]
    run = sum(t.rung > 0 for t in combinations)
    first = "".join(
        f"{t.candidate.label} ran first, to its end, in {t.seconds:.3g} s. "
        for t in tried
        if t.rung and isinstance(t.candidate, MethodCandidate)
    )
    text = (
        f"{first}{run} of {len(combinations)} combinations ran on {counted(images, 'image')} for "
        f"{seconds:.3g} s of the {budget:g} s asked for, in "
        f"{counted(max(t.rung for t in combinations), 'rung')}: each goes on with the better half, for twice "
        "the time."
    )
    return text if run == len(combinations) else text + " The table says why the others could not."


def _outcome(tried: Sequence[Tried], rule: Criterion) -> list[str]:
    first, others = tried[0], [t for t in tried[1:] if np.isfinite(t.score)]
    begun = f"{rule.text(first.start)} at its start, " if np.isfinite(first.start) else ""
    words = [
        f"Best is {first.candidate.label}: {begun}{rule.text(first.score)} "
        f"after {counted(first.iterations, 'iteration')} in {first.seconds:.0f} s."
    ]
    if others:
        words.append(f"Next comes {others[0].candidate.label} with {rule.text(others[0].score)}.")
    own = first.candidate.formulation
    rival = next((t for t in others if t.candidate.formulation not in (own, "")), None)
    if own and rival is not None and rival is not others[0]:
        words.append(f"The best {rival.candidate.formulation} run reached {rule.text(rival.score)}.")
    return words
