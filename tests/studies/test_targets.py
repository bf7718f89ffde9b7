import math

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.curves import Curve, read_curves
from flowsolve.studies.index import OBJECTIVE
from flowsolve.studies.targets import Decibels, ObjectiveGap, cost_to_target

ROW = dict.fromkeys(OBJECTIVE, "same") | {"sigma": 0.1, "lam": 1.0, "lam_given": "map", "seed": 0}


def curve(solver, value, psnr=None, start="zeros", **changes):
    value = np.array(value, dtype=float)
    psnr = np.full(len(value), np.nan) if psnr is None else np.array(psnr, dtype=float)
    cost = {"iterations": np.arange(len(value)), "evaluations": 2.0 * np.arange(len(value)) + 1}
    row = {**ROW, "solver": solver, "start": start, **changes}
    return Curve(row, value, psnr, cost | {"flow": cost["evaluations"], "seconds": cost["evaluations"]})


def test_gap_is_measured_from_the_lowest_start_to_the_lowest_value():
    # Lowest start 100, lowest value 0: within 10 % is F <= 10.
    curves = [curve("a", [1000, 50, 9, 0]), curve("b", [100, 11, 10, 10])]
    table = cost_to_target(curves, ObjectiveGap(0.1))
    assert table.levels.tolist() == [10.0]
    assert table.costs.to_dict("list") == {"a from zeros": [5.0], "b from zeros": [5.0]}
    table = cost_to_target(curves, ObjectiveGap(0.01), "iterations", ["solver"])
    assert table.costs.to_dict("list") == {"a": [3.0], "b": [math.inf]}


def test_problems_are_apart_and_methods_not_tried_are_unknown():
    curves = [curve("a", [10, 0]), curve("b", [10, 5]), curve("a", [10, 8], image="other")]
    costs = cost_to_target(curves, ObjectiveGap(0.1), methods=["solver"]).costs
    np.testing.assert_array_equal(costs["a"], [3.0, 3.0])
    np.testing.assert_array_equal(costs["b"], [math.inf, np.nan])


def test_seeds_of_a_method_give_their_median():
    runs = [curve("a", values, seed=i) for i, values in enumerate(([9, 0, 0], [9, 9, 0], [9, 9, 9]))]
    assert cost_to_target(runs, ObjectiveGap(0.1), methods=["solver"]).costs["a"].tolist() == [5.0]


def test_decibels_compare_across_objectives():
    curves = [curve("a", [9, 8], [20, 30], phi="nll"), curve("b", [1, 0], [20, 29.5], phi="latent")]
    assert len(cost_to_target(curves, ObjectiveGap()).costs) == 2
    within = cost_to_target(curves, Decibels(below=1.0), methods=["solver", "phi"])
    assert within.costs.to_dict("list") == {"a nll": [3.0], "b latent": [3.0]} and within.levels == [29.0]
    least = cost_to_target(curves, Decibels(least=29.8), methods=["solver"])
    assert least.costs.to_dict("list") == {"a": [3.0], "b": [math.inf]}
    # What the start already has costs what the start did.
    assert cost_to_target(curves, Decibels(least=10), methods=["solver"]).costs["a"].tolist() == [1.0]


def test_curves_of_a_study_and_failures_as_never_solved(small_index):
    curves = read_curves(small_index)
    assert len(curves) == len(small_index.table)
    assert all((np.diff(c.value) <= 0).all() and (np.diff(c.psnr) >= 0).all() for c in curves)
    table = cost_to_target(curves, ObjectiveGap(0.5), index=small_index)
    failed = table.costs["momentum from zeros"]
    at_map = [problem["lam"] == 0.05**2 / 2 for problem in table.problems]
    assert np.isinf(failed[at_map]).all() and failed[[not m for m in at_map]].isna().all()
    assert "momentum from zeros" not in cost_to_target(curves, ObjectiveGap(0.5)).costs
    assert table.summary().iloc[-1]["share"] == 0.0


def test_curves_end_where_the_image_ended(tiny_prior, problem, tmp_path):
    import flowsolve as fs
    from flowsolve.studies.index import read_index

    # The images reach the gradient's limit one after the other.
    stopping = fs.stopping.GradientNorm(0.03)
    fs.solve(
        fs.Analysis(problem, tiny_prior, lam=0.1),
        max_iter=60,
        rtol=None,
        stopping=stopping,
        record=tmp_path / "a.h5",
    )
    index = read_index([tmp_path])
    lengths = [len(c.value) - 1 for c in read_curves(index)]
    assert lengths == index.table["iterations"].tolist() and len(set(lengths)) > 1


def test_bad_input_is_refused():
    curves = [curve("a", [9, 0])]
    for bad in (lambda: ObjectiveGap(0), lambda: ObjectiveGap(1.0), Decibels, lambda: Decibels(1, 2)):
        with pytest.raises(ArgumentError):
            bad()
    with pytest.raises(ArgumentError, match="axis"):
        cost_to_target(curves, ObjectiveGap(), "euros")
    with pytest.raises(ArgumentError, match="methods: got 'colour'"):
        cost_to_target(curves, ObjectiveGap(), methods=["colour"])
    with pytest.raises(ArgumentError, match="truth of no image is known"):
        cost_to_target(curves, Decibels(below=1.0))
    with pytest.raises(ArgumentError, match="curves"):
        cost_to_target([], ObjectiveGap())
