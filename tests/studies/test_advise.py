import math

import numpy as np
import pytest
from helpers import Ticks

from flowsolve.errors import ArgumentError
from flowsolve.studies import advise as module
from flowsolve.studies.advise import stopping_iteration
from flowsolve.studies.candidates import Candidate

GOOD = Candidate("analysis", "nll", "map", "lbfgs", "harmonic")
SLOW = Candidate("analysis", "nll", "map", "gradient_descent", "harmonic")
LATENT = Candidate("synthesis", "latent", "map", "lbfgs", "zeros")


def advise(*arguments, **options):
    """Advise by a clock that takes two milliseconds an iteration."""
    return module.advise(*arguments, clock=Ticks(), **options)


def test_says_what_was_tried_and_chooses_the_best(tiny_prior, problem):
    seen = []
    advice = advise(problem, tiny_prior, [GOOD, SLOW, LATENT], 0.1, watch=lambda *turn: seen.append(turn))
    assert advice.chosen == advice.tried[0].candidate and advice.tried[0].verdict == "chosen"
    scores = [t.score for t in advice.tried]
    assert scores == sorted(scores, reverse=True) and {t.candidate for t in advice.tried} == {
        GOOD,
        SLOW,
        LATENT,
    }
    assert all(t.rung >= 1 and t.iterations >= 1 and t.score >= t.start for t in advice.tried)
    assert [turn[:2] for turn in seen] == [(1, 2)] * 3 + [(2, 2)] * 2
    assert advice.chosen.label in advice.paragraph and "ranked by PSNR" in advice.paragraph
    assert advice.images == 3 and advice.criterion.name == "psnr"


def test_where_time_ends_at_once_what_was_never_run_says_so(tiny_prior, problem):
    advice = advise(problem, tiny_prior, [GOOD, SLOW, LATENT], 1e-9)
    assert [t.verdict for t in advice.tried] == ["chosen", *["not tried: no time was left"] * 2]
    assert "1 of 3 combinations ran on 3 images" in advice.paragraph and " in 1 rung: " in advice.paragraph


def test_what_has_no_meaning_is_told_and_the_rest_goes_on(tiny_prior, problem):
    downsampled = Candidate("analysis", "nll", "map", "lbfgs", "bicubic")
    twice = Candidate("analysis", "nll", "map", "lbfgs", "encoded:zeros")
    advice = advise(problem, tiny_prior, [downsampled, twice, GOOD], 0.05)
    assert advice.chosen == GOOD
    told = {t.candidate: t.verdict for t in advice.tried}
    assert told[downsampled].startswith("impossible: bicubic") and "a latent already" in told[twice]
    with pytest.raises(ArgumentError, match=r"bicubic.*a combination that can be run"):
        advise(problem, tiny_prior, [downsampled], 0.3)


def test_values_of_different_functions_are_not_compared(tiny_prior, problem):
    with pytest.raises(ArgumentError, match="values of different functions"):
        advise(problem, tiny_prior, [GOOD, LATENT], 0.3, criterion="objective")
    same = Candidate("synthesis", "nll", "map", "lbfgs", "zeros")
    advice = advise(problem, tiny_prior, [GOOD, same], 0.1, criterion="objective")
    assert advice.tried[0].score <= advice.tried[1].score


@pytest.mark.parametrize(
    ("scores", "iterations"),
    [
        ([1, 2, 3, 2, 1], 2),  # past its best
        ([1, 2, 3, 4, 5], 400),  # still climbing
        ([5, 4, 3, 2, 1], 1),  # only made worse
        ([math.nan] * 5, 400),
    ],
)
def test_a_run_should_stop_at_its_best(scores, iterations):
    assert stopping_iteration(np.arange(5), np.array(scores, dtype=float)) == iterations


def test_long_runs_that_still_climb_get_twice_as_many():
    assert stopping_iteration(np.arange(501), np.arange(501.0)) == 1000


def test_bad_input_is_refused(tiny_prior, problem):
    for budget in (0, -1, math.nan, math.inf):
        with pytest.raises(ArgumentError, match="budget"):
            advise(problem, tiny_prior, [GOOD], budget)
    with pytest.raises(ArgumentError, match="candidates"):
        advise(problem, tiny_prior, [], 1.0)
