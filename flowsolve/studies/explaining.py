"""Why a combination was chosen, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .candidates import Candidate
from .criteria import Criterion


@dataclass(frozen=True)
class Tried:
    """What became of a combination.

    Attributes
    ----------
    candidate : Candidate
        The combination.
    rung : int
        Last rung it took part in; 0 if it was not tried.
    iterations, evaluations, seconds : int, float, float
        What it has had; evaluations are the mean over images.
    start, score : float
        Score at its start and the best along its run, in the criterion's unit; NaN where there is none.
    verdict : str
        ``chosen``, ``runner-up``, or why it went no further.
    """

    candidate: Candidate
    rung: int
    iterations: int
    evaluations: float
    seconds: float
    start: float
    score: float
    verdict: str


def explain(
    tried: Sequence[Tried], rule: Criterion, images: int, seconds: float, budget: float, max_iter: int
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
    max_iter : int
        Iterations that are advised.
    """
    words = [_what(tried, images, seconds, budget), rule.explain(), *_outcome(tried, rule)]
    if rule.sign * (tried[0].score - tried[0].start) <= 0:
        words.append("No run improved on its start: keep the classical restoration it started from.")
    elif max_iter < tried[0].iterations:
        words.append(f"It was best after {max_iter} iterations and got worse while F fell on: stop there.")
    else:
        words.append(f"It had not passed its best yet; {max_iter} iterations give it room.")
    return " ".join(words)


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _what(tried: Sequence[Tried], images: int, seconds: float, budget: float) -> str:
    run = sum(t.rung > 0 for t in tried)
    text = (
        f"{run} of {len(tried)} combinations ran on {counted(images, 'image')} for {seconds:.3g} s of the "
        f"{budget:g} s asked for, in {counted(max(t.rung for t in tried), 'rung')}: each goes on with the "
        "better half, for twice the time."
    )
    return text if run == len(tried) else text + " The table says why the others could not."


def _outcome(tried: Sequence[Tried], rule: Criterion) -> list[str]:
    first, others = tried[0], [t for t in tried[1:] if np.isfinite(t.score)]
    words = [
        f"Best is {first.candidate.label}: {rule.text(first.start)} at its start, {rule.text(first.score)} "
        f"after {counted(first.iterations, 'iteration')} in {first.seconds:.0f} s."
    ]
    if others:
        words.append(f"Next comes {others[0].candidate.label} with {rule.text(others[0].score)}.")
    own = first.candidate.formulation
    rival = next((t for t in others if t.candidate.formulation != own), None)
    if rival is not None and rival is not others[0]:
        words.append(f"The best {rival.candidate.formulation} run reached {rule.text(rival.score)}.")
    return words
