import dataclasses

import pytest

from flowsolve.studies import estimate as module
from flowsolve.studies.estimate import Probe, estimate
from flowsolve.studies.planning import make_plan


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"max_iter": 10}, 1 + 20),
        ({"max_evaluations": 8}, 1 + 4),
        ({"max_iter": 10, "max_evaluations": 100, "max_seconds": 7}, 1 + 7),
    ],
)
def test_the_limit_that_is_reached_first_counts(limits, seconds):
    probe = Probe(start=1.0, iteration=2.0, evaluation=0.5)
    everything = {"max_iter": None, "max_evaluations": None, "max_seconds": None} | limits
    assert probe.seconds(everything) == seconds


def test_every_cell_gets_a_time_from_one_probe_of_its_kind(study):
    plan = make_plan(study())
    told = []
    found = estimate(plan, seconds=0.2, told=lambda done, total: told.append((done, total)))
    assert set(found.seconds) == {cell.id for cell in plan.cells} and not found.failed
    assert told == [(0, 2), (1, 2), (2, 2)]
    by_solver = {cell.solver: found.seconds[cell.id] for cell in plan.cells}
    assert all(found.seconds[cell.id] == by_solver[cell.solver] for cell in plan.cells)
    assert found.total() == pytest.approx(sum(found.seconds.values())) and found.total(2) == found.total() / 2
    assert min(found.seconds.values()) > 0


def test_more_iterations_take_longer(small, monkeypatch):
    monkeypatch.setattr(module, "_probe", lambda *cell: Probe(start=1.0, iteration=0.5, evaluation=0.25))
    longer = dataclasses.replace(
        small, cells=[dataclasses.replace(c, limits=c.limits | {"max_iter": 100_000}) for c in small.cells]
    )
    assert estimate(small).total() == 4 * (1 + 3 * 0.5)
    assert estimate(longer).total(2) == 4 * (1 + 100_000 * 0.5) / 2


def test_a_probe_that_fails_is_told_and_the_others_count(small):
    broken = dataclasses.replace(small.cells[0], init="harmonic")
    found = estimate(dataclasses.replace(small, cells=[broken, *small.cells[1:]]), seconds=0.2)
    assert "works for a Mask" in found.failed[broken.id]
    assert {c.solver for c in small.cells if c.id in found.seconds} == {"adam"}
