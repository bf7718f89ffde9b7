import math

import numpy as np
import pandas
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.profiles import data_profile, performance_profile
from flowsolve.studies.targets import CostTable

INF = math.inf

# Four problems, three methods. Least costs: 2, 3, 10; nobody solves the last.
COSTS = pandas.DataFrame({"a": [2.0, 6, 10, INF], "b": [4.0, 3, INF, INF], "c": [2.0, 12, 40, INF]})


def table(costs=COSTS):
    return CostTable(costs, np.zeros(len(costs)), [{}] * len(costs), "evaluations")


def test_performance_profile_by_hand():
    # Ratios: a 1, 2, 1, inf; b 2, 1, inf, inf; c 1, 4, 4, inf.
    profile = performance_profile(table())
    np.testing.assert_array_equal(profile.x, [1, 2, 4])
    np.testing.assert_array_equal(profile.share["a"], [0.5, 0.75, 0.75])
    np.testing.assert_array_equal(profile.share["b"], [0.25, 0.5, 0.5])
    np.testing.assert_array_equal(profile.share["c"], [0.25, 0.25, 0.75])
    assert profile.at(3.9) == {"a": 0.75, "b": 0.5, "c": 0.25}
    assert profile.at(4.0)["c"] == 0.75 and profile.at(0.5)["a"] == 0.0
    assert (profile.kind, profile.axis, profile.problems) == ("performance", "evaluations", 4)


def test_data_profile_by_hand():
    profile = data_profile(table())
    np.testing.assert_array_equal(profile.x, [0, 2, 3, 4, 6, 10, 12, 40])
    np.testing.assert_array_equal(profile.share["a"], [0, 0.25, 0.25, 0.25, 0.5, 0.75, 0.75, 0.75])
    np.testing.assert_array_equal(profile.share["b"], [0, 0, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert data_profile(table(), unit=np.array([1, 2, 4, 1.0])).at(2.5) == {"a": 0.5, "b": 0.25, "c": 0.25}


def test_costs_of_zero_are_the_smallest_positive_cost():
    profile = performance_profile(table(pandas.DataFrame({"a": [0.0, 8], "b": [4.0, 4]})))
    # a 4 → 1 and b 1; a 2 and b 1.
    assert profile.at(1) == {"a": 0.5, "b": 1.0} and profile.at(2) == {"a": 1.0, "b": 1.0}


def test_problems_that_a_method_was_not_tried_on_are_left_out():
    costs = COSTS.copy()
    costs.loc[1, "b"] = np.nan
    profile = performance_profile(table(costs))
    assert profile.problems == 3 and profile.at(1)["a"] == pytest.approx(2 / 3)
    costs["b"] = np.nan
    with pytest.raises(ArgumentError, match="no problem that every method was tried on"):
        data_profile(table(costs))


def test_units_must_be_positive():
    with pytest.raises(ArgumentError, match="unit"):
        data_profile(table(), unit=0)


def test_summary_counts_and_ranks():
    summary = table().summary()
    assert summary["method"].tolist() == ["a", "c", "b"]
    a, c, b = summary.to_dict("records")
    assert (a["solved"], a["share"], a["cost_median"], a["cheapest"]) == (3, 0.75, 6.0, 0.5)
    assert (c["solved"], c["cost_q1"], c["cheapest"]) == (3, 2.0, 0.25)
    assert (b["solved"], b["cost_q3"]) == (2, INF)
