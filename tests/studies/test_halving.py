import math

import pytest

from flowsolve.studies.halving import rungs, successive_halving


class Fake:
    """A contender whose score grows with its time, on a clock of its own."""

    def __init__(self, clock, rate, *, group="one", first=0.0, step=1.0, longest=math.inf):
        self.clock, self.rate, self.group, self.first = clock, rate, group, first
        self.step, self.longest, self.seconds = step, longest, 0.0

    def advance(self, seconds):
        steps = max(1, round(seconds / self.step))
        taken = min(steps * self.step, self.longest - self.seconds)
        self.seconds += taken
        self.clock.now += taken

    def score(self):
        return self.first + self.rate * self.seconds


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("contenders", "sizes"), [(1, [1]), (2, [2]), (3, [3, 2]), (5, [5, 3, 2]), (8, [8, 4, 2])]
)
def test_rungs_halve_down_to_two(contenders, sizes):
    assert rungs(contenders) == sizes


def test_the_better_half_goes_on_with_twice_the_time():
    clock = Clock()
    contenders = [Fake(clock, rate) for rate in range(1, 9)]
    standings = successive_halving(contenders, 160, clock=clock)
    assert clock.now == pytest.approx(160)
    # Sixteen shares of ten seconds: 8 · 1 + 4 · 1 + 2 · 2.
    assert [c.seconds for c in contenders] == [10, 10, 10, 10, 20, 20, 40, 40]
    assert [s.contender.rate for s in standings] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [s.rung for s in standings] == [3, 3, 2, 2, 1, 1, 1, 1]
    assert [s.reason for s in standings[:3]] == ["", "", "out in rung 2"]


def test_time_that_is_not_taken_goes_to_the_others():
    clock = Clock()
    contenders = [Fake(clock, 2, longest=5), Fake(clock, 1)]
    successive_halving(contenders, 100, clock=clock)
    assert [c.seconds for c in contenders] == [5, 95]


def test_long_steps_do_not_carry_the_budget_away():
    clock = Clock()
    contenders = [Fake(clock, rate, step=7.0) for rate in range(1, 9)]
    successive_halving(contenders, 160, clock=clock)
    assert 150 <= clock.now <= 170


def test_the_best_of_every_group_goes_on():
    clock = Clock()
    quick = [Fake(clock, 0.1, first=10 + i) for i in range(3)]
    slow = Fake(clock, 2.0, group="two")
    standings = successive_halving([*quick, slow], 80, clock=clock)
    # After the first rung it is the last of four; given its time it is ahead of them all.
    assert standings[0].contender is slow and slow.seconds > quick[0].seconds


def test_who_did_better_in_less_time_is_better():
    clock = Clock()
    quick = [Fake(clock, 0.1, first=10 + i) for i in range(3)]
    slow = Fake(clock, 0.01, group="two")
    standings = successive_halving([*quick, slow], 80, clock=clock)
    assert [s.contender for s in standings] == [quick[2], quick[1], quick[0], slow]
    assert standings[3].rung == 2 and standings[1].rung == 1


def test_without_time_each_has_its_turn_only_as_long_as_there_is_some():
    clock = Clock()
    contenders = [Fake(clock, rate, step=4.0) for rate in (1, 2, 3, 4)]
    standings = successive_halving(contenders, 6, clock=clock)
    assert [s.rung for s in standings] == [1, 1, 0, 0]
    assert standings[-1].reason == "not tried: no time was left" and math.isnan(standings[-1].score)
    # Even with nothing left there is one answer.
    first = successive_halving([Fake(clock, 1), Fake(clock, 2)], -1.0, clock=clock)[0]
    assert first.rung == 1 and first.contender.seconds == 1


def test_what_has_no_score_is_worst():
    clock = Clock()
    contenders = [Fake(clock, math.nan), Fake(clock, 1), Fake(clock, 2)]
    standings = successive_halving(contenders, 30, clock=clock)
    assert [s.contender for s in standings] == [contenders[2], contenders[1], contenders[0]]
    assert contenders[0].seconds < contenders[1].seconds
