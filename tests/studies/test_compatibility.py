import dataclasses

import pytest

from flowsolve.studies.compatibility import Compatibility


def changed(plan, **changes):
    return dataclasses.replace(plan.cells[0], **changes)


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"operator": {"kernel_size": 9}}, "task", "1 to 8"),
        ({"init": "harmonic"}, "start", "works for a Mask"),
        ({"solver_name": "forward_backward", "solver_options": {"split": "latent"}}, "solver", "split"),
    ],
)
def test_what_has_no_meaning_is_refused_at_its_key(small, changes, key, why):
    refusal = Compatibility(small.inputs).refusal(changed(small, **changes))
    assert refusal.key == key and why in refusal.why and refusal.what.startswith(key)


def test_what_has_a_meaning_is_not(small):
    compatibility = Compatibility(small.inputs)
    assert [compatibility.refusal(cell) for cell in small.cells] == [None] * 4


def test_parts_are_tried_once(small, monkeypatch):
    from flowsolve.studies import compatibility as module

    made = []
    real = module.make_start
    monkeypatch.setattr(module, "make_start", lambda *a, **k: made.append(a[0]) or real(*a, **k))
    compatibility = Compatibility(small.inputs)
    for _ in range(3):
        for cell in small.cells:
            compatibility.refusal(cell)
    # Four cells: two tasks, each with two solvers from one start.
    assert len(made) == 2


def test_which_starts_depend_on_their_seeds(small):
    compatibility = Compatibility(small.inputs)
    assert not compatibility.uses_seed(changed(small, init="adjoint"), 5)
    assert compatibility.uses_seed(changed(small, init="random"), 5)
    assert not compatibility.uses_seed(changed(small, init="random", seed=5), 5)
