import h5py
import numpy as np
import pytest

from flowsolve.errors import RecordError
from flowsolve.recording import open_run
from flowsolve.recording.earlier import STAGE, EarlierStages, EndedStage, read_earlier
from flowsolve.tally import COUNTED


def make_trace(rows, seed, **extra):
    random = np.random.default_rng(seed)
    trace = {"value": random.standard_normal((rows, 2)), "seconds": random.random((rows, 2)).cumsum(0)}
    trace |= {name: random.integers(0, 5, (rows, 2)).cumsum(0) for name in COUNTED}
    return trace | extra


def make_earlier():
    first, second = make_trace(3, 0, held_out=np.ones((3, 2))), make_trace(2, 1)
    x, status, iterations = np.zeros((2, 1, 4, 4)), ["max_iter", "stalled"], np.array([2, 1])
    stages = [EndedStage({"a": k}, t, x + k, status, iterations) for k, t in enumerate((first, second))]
    return EarlierStages(tuple(stages), {"run_id": "r", "created": "c"})


def test_counts_and_seconds_go_on_and_other_columns_do_not():
    earlier, present = make_earlier(), make_trace(4, 2)
    joined = earlier.joined(present)
    assert earlier.stage == 2 and earlier.offset == 5
    assert joined[STAGE][:, 0].tolist() == [0] * 3 + [1] * 2 + [2] * 4
    np.testing.assert_array_equal(joined["value"][5:], present["value"])
    for name in ("seconds", *COUNTED):
        assert (np.diff(joined[name], axis=0) >= 0).all()
        total = sum(stage.trace[name][-1] for stage in earlier.ended)
        np.testing.assert_allclose(joined[name][-1], total + present[name][-1])
    np.testing.assert_array_equal(np.isnan(joined["held_out"]), joined[STAGE] > 0)


def test_a_row_and_the_whole_trace_agree_and_can_be_taken_apart_again():
    earlier, present = make_earlier(), make_trace(4, 2)
    joined = earlier.joined(present)
    for k in range(4):
        row = earlier.globally({name: column[k] for name, column in present.items()})
        for name, value in row.items():
            np.testing.assert_array_equal(value, joined[name][5 + k])
            assert value.dtype == joined[name].dtype
    apart = earlier.locally(joined)
    for name, column in present.items():
        np.testing.assert_allclose(np.stack(apart[name]), column)


def test_a_first_stage_is_its_own_trace():
    earlier, present = EarlierStages(), make_trace(3, 0)
    joined = earlier.joined(present)
    assert earlier.offset == 0 and not joined.pop(STAGE).any()
    for name, column in present.items():
        np.testing.assert_array_equal(joined[name], column)


def test_ended_stages_are_written_and_read(tmp_path):
    earlier = make_earlier()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.attrs.update(earlier.identity)
        earlier.write(file)
        found = read_earlier(file, earlier.joined(make_trace(1, 2)))
    assert found.identity == earlier.identity
    for ours, theirs in zip(found.ended, earlier.ended, strict=True):
        assert (ours.config, ours.status) == (theirs.config, theirs.status)
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.iterations, theirs.iterations)
        np.testing.assert_array_equal(ours.trace["value"], theirs.trace["value"])
        np.testing.assert_array_equal(ours.trace["evaluations"], theirs.trace["evaluations"])


@pytest.mark.parametrize("damage", ["stages/0/iterations", "stages/0/x", "stages/0", "trace/stage"])
def test_a_record_without_a_part_of_its_stages_is_refused(damage, tmp_path):
    from methods_of_stages import make_method_run

    path = tmp_path / "run.h5"
    make_method_run("two", path).complete()
    with h5py.File(path, "r+") as file:
        del file[damage]
    with pytest.raises(RecordError):
        open_run(path)


def test_a_reader_whose_file_is_replaced_by_the_next_stage_reads_what_it_opened(tmp_path, monkeypatch):
    from methods_of_stages import make_method_run

    path, opened = tmp_path / "run.h5", h5py.File
    going = make_method_run("two", path)
    with going:
        steps = iter(going)
        for _ in range(5):
            next(steps)

        def open_and_go_on(*arguments, **options):
            file = opened(*arguments, **options)
            monkeypatch.undo()
            next(steps)
            return file

        monkeypatch.setattr("flowsolve.recording.reader.h5py.File", open_and_go_on)
        record = open_run(path)
        assert record.method["stage"] == 0 and open_run(path).method["stage"] == 1
        assert record.trace["iteration"].tolist() == list(range(6))
