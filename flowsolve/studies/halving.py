"""Successive halving: much time for few promising contenders instead of little for all.

K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
AISTATS 2016, algorithm 1. After each rung the better half goes on, and what each has had in all doubles; a
contender is continued, not begun anew. One thing is added: as long as two or more go on, the best of every
group does. What starts slowly, as a search over latents from z = 0, would otherwise never be given its time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Contender(Protocol):
    """What can be given time and has a score.

    Attributes
    ----------
    group : str
        Of contenders that are alike.
    """

    group: str

    def advance(self, seconds: float) -> None:
        """Go on for about so many seconds, at least by one step; nothing if it has ended."""

    def score(self) -> float:
        """Return how good it has become; more is better, NaN is worst."""


@dataclass
class Standing:
    """What became of a contender.

    Attributes
    ----------
    contender : Contender
        It.
    rung : int
        The last rung it took part in, from 1; 0 if there was no time for it.
    score : float
        Its score after that.
    reason : str
        Why it went no further; "" for those of the last rung.
    """

    contender: Contender
    rung: int = 0
    score: float = math.nan
    reason: str = ""


def successive_halving(
    contenders: Sequence[Contender],
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    watch: Callable[[int, int, Contender], None] | None = None,
) -> list[Standing]:
    """Divide time among contenders and return their standings, the best first.

    Time that a contender does not take, because it has ended or a step was short, is divided among what is
    left to do, and so is what one took too much.

    Parameters
    ----------
    contenders : sequence of Contender
        One or more.
    seconds : float
        Time for all of them together.
    clock : callable
        Returns the time in seconds.
    watch : callable, optional
        Called with the rung (from 1), the number of rungs and a contender, before each turn.

    Returns
    -------
    list of Standing
        By score, whatever the rung: who did better in less time is better. Of equals the one that went
        further comes first.
    """
    deadline = clock() + seconds
    sizes = rungs(len(contenders))
    standings = [Standing(contender) for contender in contenders]
    going = list(standings)
    for rung, size in enumerate(sizes):
        for place, standing in enumerate(going):
            left = deadline - clock()
            if left <= 0 and (rung or place):
                return _out_of_time(standings, going, place, rung)
            if watch is not None:
                watch(rung + 1, len(sizes), standing.contender)
            later = sum(_share(k) * sizes[k] for k in range(rung + 1, len(sizes)))
            pending = _share(rung) * (size - place) + later
            standing.contender.advance(max(left, 0.0) * _share(rung) / pending)
            standing.rung, standing.score = rung + 1, standing.contender.score()
        if rung + 1 < len(sizes):
            kept = _better(going, sizes[rung + 1])
            for standing in going:
                if standing not in kept:
                    standing.reason = f"out in rung {rung + 1}"
            going = kept
    return _ranked(standings)


def rungs(contenders: int) -> list[int]:
    """Return how many contenders each rung has: halves, rounded up, down to two."""
    sizes = [contenders]
    while sizes[-1] > 2:
        sizes.append(math.ceil(sizes[-1] / 2))
    return sizes


def _share(rung: int) -> int:
    """Return the time of a contender in a rung: what it has had before, so that the sum doubles."""
    return 1 if rung == 0 else 2 ** (rung - 1)


def _better(going: list[Standing], number: int) -> list[Standing]:
    """Return the best, of which the lowest give way to the best of groups that would be left out."""
    ranked = sorted(going, key=_merit, reverse=True)
    kept = ranked[:number]
    for standing in ranked[number:]:
        groups = [other.contender.group for other in kept]
        if standing.contender.group in groups or not standing.score > -math.inf:
            continue
        spare = [other for other in kept if groups.count(other.contender.group) > 1]
        if spare:
            kept.remove(spare[-1])
            kept.append(standing)
    return kept


def _merit(standing: Standing) -> float:
    return -math.inf if math.isnan(standing.score) else standing.score


def _ranked(standings: list[Standing]) -> list[Standing]:
    return sorted(standings, key=lambda s: (_merit(s), s.rung), reverse=True)


def _out_of_time(standings: list[Standing], going: list[Standing], place: int, rung: int) -> list[Standing]:
    """Return the standings where time ended before a rung did: those who had their turn are ahead."""
    for standing in going[place:]:
        standing.reason = "out of time" if rung else "not tried: no time was left"
    return _ranked(standings)
