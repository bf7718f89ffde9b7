import itertools

import pytest

from flowsolve.flows.training.schedule import Every, Schedule, run_progress


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_rises_then_falls_to_zero(kind):
    schedule = Schedule(0.1, kind, warm_up=0.1)
    rates = [schedule.at(i / 100) for i in range(101)]
    assert rates[0] > 0 and rates[10] == pytest.approx(0.1) and rates[-1] == pytest.approx(0)
    assert all(a < b for a, b in itertools.pairwise(rates[:11]))
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert schedule.at(2) == pytest.approx(0)


def test_progress_is_by_time_or_by_steps():
    assert run_progress(30, 60, 5, None) == 0.5
    assert run_progress(30, 60, 9, 10) == 0.9


def test_intervals():
    every = Every(1, budget=1000, parts=4)
    assert [t for t in range(0, 200, 10) if every.due(t)] == [60, 120, 180]
    assert Every(10, budget=100, parts=4).interval == 25
