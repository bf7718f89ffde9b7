import h5py
import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve.recording.checkpoint import Slots, checksum, pack_state, unpack_state
from flowsolve.solvers import make_solver, registry


# Solvers of other libraries keep what a state cannot hold, and say so.
@pytest.mark.parametrize("name", [name for name in sorted(registry) if make_solver(name).resumes_exactly()])
def test_states_come_back_bit_by_bit_and_continue_alike(name, tiny_prior, problem):
    objective, solver = fs.Analysis(problem, tiny_prior), make_solver(name)
    state = solver.init(objective, objective.from_image(problem.y + 0.2))
    for _ in range(3):
        state = solver.step(objective, state)
    arrays = {key: array.copy() for key, array in pack_state(state).items()}
    again = unpack_state(solver.state_type, arrays, torch.device("cpu"), solver.nested())
    assert type(again) is type(state)
    one, two = solver.step(objective, state), solver.step(objective, again)
    assert pack_state(one).keys() == pack_state(two).keys() == arrays.keys()
    for key, array in pack_state(one).items():
        np.testing.assert_array_equal(pack_state(two)[key], array, err_msg=key)


@pytest.fixture
def slots(tmp_path):
    with h5py.File(tmp_path / "slots.h5", "w") as file:
        yield Slots.create(file.create_group("checkpoint"), arrays(0))


def arrays(seed, rows=3):
    rng = np.random.default_rng(seed)
    return {
        "active": np.arange(rows),
        "state/u": rng.standard_normal((rows, 5)),
        "state/failed": rng.random(rows) > 0.5,
        "best": rng.standard_normal((3, 2)),
        "iteration": np.array(seed),
    }


def test_the_newest_checkpoint_is_read(slots):
    assert slots.read() is None
    for seed in range(1, 5):
        slots.write(arrays(seed), seed)
        iteration, found = slots.read()
        assert iteration == seed
        for key, array in arrays(seed).items():
            np.testing.assert_array_equal(found[key], array)


def test_a_smaller_batch_fits_and_comes_back_small(slots):
    slots.write(arrays(1, rows=2), 1)
    _, found = slots.read()
    assert found["state/u"].shape == (2, 5) and found["best"].shape == (3, 2)


@pytest.mark.parametrize("damage", ["torn data", "no seal"])
def test_a_damaged_slot_gives_way_to_the_one_before(slots, damage):
    slots.write(arrays(1), 1)
    slots.write(arrays(2), 2)
    slot = slots.group[str(slots.generation % 2)]
    if damage == "torn data":
        slot["arrays/state/u"][0, 0] += 1
    else:
        slot["seal"][()] = np.zeros((), slot["seal"].dtype)
    iteration, found = slots.read()
    assert iteration == 1
    np.testing.assert_array_equal(found["best"], arrays(1)["best"])


def test_checksum_sees_values_and_names():
    one = arrays(1)
    assert checksum(one) == checksum(dict(reversed(one.items())))
    assert checksum(one) != checksum(arrays(2))
    assert checksum({"a": one["best"]}) != checksum({"b": one["best"]})
