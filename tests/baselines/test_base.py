import pytest

from flowsolve import baselines, tasks
from flowsolve.errors import ArgumentError


def test_every_task_has_baselines_that_are_registered():
    for task in tasks.registry:
        named = baselines.for_task(task)
        assert named and all(baselines.registry.get(name) is f for name, f in named.items())


def test_oracles_are_left_out_without_the_truth():
    assert "tikhonov-best" in baselines.for_task("deblur")
    assert not set(baselines.ORACLES) & set(baselines.for_task("deblur", truth=False))


def test_unknown_task():
    with pytest.raises(ArgumentError, match="deblur"):
        baselines.for_task("sharpen")
