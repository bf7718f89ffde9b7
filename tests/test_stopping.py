import numpy as np
import pytest

from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.stopping import (
    Discrepancy,
    GradientNorm,
    HeldOut,
    MaxEvaluations,
    MaxIterations,
    MaxSeconds,
    Progress,
    RelativeChange,
    TargetValue,
    criterion_from_config,
)


def progress(values=((3.0, 3.0),), iteration=1, evaluations=(5, 9), seconds=1.0, grad_norm=(0.1, 2.0)):
    trace = {"value": [np.array(v) for v in values], "grad_norm": [np.array(grad_norm)]}
    return Progress(iteration, 10, seconds, np.array(evaluations), trace)


def test_budgets_stop_and_say_which():
    assert MaxIterations(1).check(progress()).tolist() == ["max_iter", "max_iter"]
    assert MaxIterations(2).check(progress()).tolist() == ["", ""]
    assert MaxEvaluations(9).check(progress()).tolist() == ["", "max_evaluations"]
    assert MaxSeconds(0.5).check(progress()).tolist() == ["timeout", "timeout"]


def test_gradient_norm_is_per_image():
    assert GradientNorm(0.1).check(progress()).tolist() == ["converged", ""]


def test_relative_change_needs_the_whole_window():
    flat_then_moving = [(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]
    assert RelativeChange(1e-6, window=2).check(progress(flat_then_moving)).tolist() == ["converged", ""]
    assert RelativeChange(1e-6, window=3).check(progress(flat_then_moving)).tolist() == ["", ""]


def test_relative_change_is_not_fooled_by_two_equal_ends():
    up_and_back = [(1.0,), (9.0,), (1.0,)]
    assert RelativeChange(1e-6, window=2).check(progress(up_and_back)).tolist() == [""]


def test_or_takes_the_first_reason_and_and_needs_both():
    either = GradientNorm(0.1) | MaxEvaluations(5)
    assert either.check(progress()).tolist() == ["converged", "max_evaluations"]
    both = GradientNorm(0.1) & MaxEvaluations(9)
    assert both.check(progress()).tolist() == ["", ""]
    assert (GradientNorm(5) & MaxEvaluations(9)).check(progress()).tolist() == ["", "converged"]


def test_config_is_nested_json():
    config = (MaxIterations(3) | RelativeChange(1e-3, window=4)).config()
    assert config == {"either": [{"MaxIterations": 3}, {"RelativeChange": 1e-3, "window": 4}]}


@pytest.mark.parametrize("bad", [-1, 1.5, float("nan"), "many", True])
def test_bad_iteration_limits_are_refused(bad):
    with pytest.raises(ArgumentError, match=r"MaxIterations.*integer >= 0"):
        MaxIterations(bad)


def test_bad_window_is_refused():
    with pytest.raises(ArgumentError, match="window"):
        RelativeChange(1e-3, window=0)


def watched(columns, noise_energy=None):
    trace = {name: [np.array(row) for row in rows] for name, rows in columns.items()}
    n = len(trace["value"])
    return Progress(n - 1, 10, 1.0, np.array([n, n]), trace, noise_energy=noise_energy)


def test_discrepancy_stops_each_image_when_it_fits_as_the_noise_allows():
    rows = {"value": [(9.0, 9.0)], "data_fidelity": [(1.0, 1.1)]}
    noise = np.array([2.0, 2.0])
    assert Discrepancy().check(watched(rows, noise)).tolist() == ["discrepancy", ""]
    assert Discrepancy(1.2).check(watched(rows, noise)).tolist() == ["discrepancy"] * 2
    with pytest.raises(UnsupportedError, match="needs a problem with noise"):
        Discrepancy().check(watched(rows, np.zeros(2)))


def test_held_out_waits_for_a_new_minimum():
    held_out = [(5.0, 5.0), (4.0, 4.0), (4.5, 3.0), (4.6, 3.5)]
    rows = {"value": [(1.0, 1.0)] * 4, "held_out": held_out}
    assert HeldOut(2).check(watched(rows)).tolist() == ["held_out", ""]
    assert HeldOut(3).check(watched(rows)).tolist() == ["", ""]


def test_the_best_iterate_is_what_the_criterion_that_watches_something_says():
    assert (MaxIterations(3) | RelativeChange(0.1)).merit == "value"
    assert (MaxIterations(3) | HeldOut(2)).merit == (HeldOut(2) & Discrepancy()).merit == "held_out"


def test_new_criteria_are_rebuilt_from_their_descriptions():
    criterion = (Discrepancy(1.1) & MaxIterations(9)) | HeldOut(7)
    again = criterion_from_config(criterion.config())
    assert again.config() == criterion.config() and again.merit == "held_out"
    with pytest.raises(ArgumentError, match=r"HeldOut: got 1\.5"):
        HeldOut(1.5)


def test_target_value_is_of_each_image_or_of_all():
    assert TargetValue([3.0, 2.9]).check(progress()).tolist() == ["target", ""]
    assert TargetValue(3.0).check(progress()).tolist() == ["target", "target"]
    assert criterion_from_config(TargetValue([3.0, 2.9]).config()).check(progress())[1] == ""


def test_bad_targets_are_refused():
    with pytest.raises(ArgumentError, match="a finite number, or one for each image"):
        TargetValue([1.0, np.nan])
    with pytest.raises(ArgumentError, match=r"3 targets.*2, one for each image"):
        TargetValue([1.0, 2.0, 3.0]).check(progress())
