import dataclasses
import math

import numpy as np
import pytest
from helpers import Ticks

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.methods import Method, Stage, registry
from flowsolve.studies import advise as module
from flowsolve.studies.advise import stopping_iteration
from flowsolve.studies.candidates import Candidate, MethodCandidate

AUTO = MethodCandidate("auto")
GOOD = Candidate("analysis", "nll", "map", "lbfgs", "harmonic")
SLOW = Candidate("analysis", "nll", "map", "gradient_descent", "harmonic")
LATENT = Candidate("synthesis", "latent", "map", "lbfgs", "zeros")


@pytest.fixture(autouse=True)
def auto(monkeypatch):
    """Let ``auto`` be the classical restoration, or a stage: ``auto(stage)``."""

    def be(stage):
        registry.names()
        monkeypatch.setitem(registry._items, "auto", lambda problem, prior: Method("auto", (stage,)))

    be(Stage(lam=0.0, solver="gradient_descent", init="adjoint", max_iter=0))
    return be


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
        AUTO,
    }
    combinations = [t for t in advice.tried if t.candidate != AUTO]
    assert all(t.rung >= 1 and t.iterations >= 1 and t.score >= t.start for t in combinations)
    assert [turn[:2] for turn in seen] == [(1, 2)] * 3 + [(2, 2)] * 2
    assert advice.chosen.label in advice.paragraph and "ranked by PSNR" in advice.paragraph
    assert advice.images == 3 and advice.criterion.name == "psnr"


def test_where_time_ends_at_once_what_was_never_run_says_so(tiny_prior, problem):
    advice = advise(problem, tiny_prior, [GOOD, SLOW, LATENT], 1e-9)
    verdicts = {t.candidate: t.verdict for t in advice.tried}
    assert [verdicts[c] for c in (SLOW, LATENT)] == ["not tried: no time was left"] * 2
    assert {verdicts[GOOD], verdicts[AUTO]} == {"chosen", "runner-up"}
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
        ([1, 2, 3, 4, 5], 4),  # still climbing: nobody has seen more
        ([5, 4, 3, 2, 1], 1),  # only made worse
        ([math.nan] * 5, 4),
    ],
)
def test_a_run_should_stop_at_its_best(scores, iterations):
    assert stopping_iteration(np.arange(5), np.array(scores, dtype=float)) == iterations


def test_auto_is_chosen_unless_a_combination_is_better(tiny_prior, problem, auto):
    beaten = advise(problem, tiny_prior, [GOOD, LATENT], 0.1)
    assert beaten.chosen != AUTO and beaten.max_iter >= 1
    # A draw is no reason to change: the same start, and nothing gained from it.
    auto(Stage(lam=0.0, init=SLOW.init, max_iter=0))
    no_gain = dataclasses.replace(SLOW, lam="1e6")
    result = advise(problem, tiny_prior, [no_gain], 0.02)
    assert result.chosen == AUTO and result.max_iter is None
    assert result.tried[0].verdict == "chosen" and result.tried[1].verdict == "runner-up"
    assert "auto ran first, to its end" in result.paragraph and "stops by itself" in result.paragraph


def test_a_run_of_as_many_iterations_gives_what_was_found(tiny_prior, problem):
    advice = advise(problem, tiny_prior, [GOOD, SLOW, LATENT], 0.1)
    c = advice.chosen
    kind = {"analysis": fs.Analysis, "synthesis": fs.Synthesis}[c.formulation]
    objective = kind(problem, tiny_prior, phi=c.phi, lam=c.lam)
    result = fs.solve(objective, c.solver, c.init, max_iter=advice.max_iter)
    assert fs.metrics.psnr(result.x, problem.x_true).mean() == pytest.approx(advice.tried[0].score, abs=0.05)


@pytest.mark.parametrize("criterion", ["psnr", "held-out"])
def test_a_method_that_cannot_run_is_told(tiny_prior, problem, auto, criterion):
    auto(Stage(lam=0.0, init="bicubic"))
    advice = advise(problem, tiny_prior, [GOOD], 0.02, criterion=criterion)
    told = {t.candidate: t.verdict for t in advice.tried}
    assert advice.chosen == GOOD and told[AUTO].startswith("impossible: bicubic")


def test_bad_input_is_refused(tiny_prior, problem):
    for budget in (0, -1, math.nan, math.inf):
        with pytest.raises(ArgumentError, match="budget"):
            advise(problem, tiny_prior, [GOOD], budget)
    with pytest.raises(ArgumentError, match="candidates"):
        advise(problem, tiny_prior, [], 1.0)
