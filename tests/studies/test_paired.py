import numpy as np
import pandas
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.paired import medians, paired_tests

GAINS = np.array([1.0, 2, 3, 4, 5, 6, 7, -0.5])


def make_table(gains=GAINS, **methods):
    methods = methods or {"good": gains, "bad": 0 * gains}
    rows = []
    for solver, values in methods.items():
        for i, value in enumerate(values):
            row = {"task": "t", "operator": "", "sigma": 0.1, "prior": "p", "formulation": "f", "phi": "n"}
            row |= {"lam_given": "map", "image": f"i{i}", "measurement": f"m{i}", "seed": 0}
            rows.append({**row, "solver": solver, "start": "zeros", "psnr": 20 + value, "evaluations": value})
    return pandas.DataFrame(rows)


def test_pairs_are_images_and_the_better_one_is_named():
    (row,) = paired_tests(make_table()).to_dict("records")
    assert (row["better"], row["worse"], row["images"]) == ("good from zeros", "bad from zeros", 8)
    assert row["median"] == pytest.approx(3.5) and row["low"] < 3.5 < row["high"]
    assert row["effect"] == pytest.approx(34 / 36)
    # Two of the 2⁸ patterns have a smaller rank sum of one sign than 1, two the same.
    assert row["p"] == pytest.approx(4 / 2**8) and row["p_holm"] == row["p"]


def test_of_costs_less_is_better():
    (row,) = paired_tests(make_table(), "evaluations").to_dict("records")
    assert row["better"] == "bad from zeros" and row["median"] == pytest.approx(-3.5)


def test_holm_counts_all_tests_and_a_reference_makes_fewer():
    table = make_table(a=GAINS, b=0 * GAINS, c=0 * GAINS - 1)
    every = paired_tests(table)
    assert len(every) == 3 and every["p_holm"].min() == pytest.approx(3 * every["p"].min())
    some = paired_tests(table, reference="c from zeros")
    assert len(some) == 2 and (some["worse"] == "c from zeros").all()


def test_an_image_counts_once_however_many_seeds():
    table = pandas.concat([make_table(), make_table().assign(seed=1)], ignore_index=True)
    assert paired_tests(table)["images"].tolist() == [8]
    assert medians(table)["images"].tolist() == [8, 8]


def test_images_that_only_one_method_has_are_left_out():
    table = make_table()
    table = table[~((table["solver"] == "bad") & (table["image"] == "i3"))]
    assert paired_tests(table)["images"].tolist() == [7]


def test_families_are_tasks():
    table = pandas.concat([make_table(), make_table().assign(task="u")], ignore_index=True)
    tests = paired_tests(table)
    assert tests["task"].tolist() == ["t", "u"] and tests["p_holm"].iloc[0] == pytest.approx(8 / 2**8)


def test_medians_have_intervals(small_index):
    found = medians(small_index.table)
    assert (found["low"] <= found["median"]).all() and (found["median"] <= found["high"]).all()
    assert set(found["images"]) == {2}


def test_bad_input_is_refused(small_index):
    with pytest.raises(ArgumentError, match="column"):
        paired_tests(small_index.table, "colour")
    with pytest.raises(ArgumentError, match="reference: got 'nobody'"):
        paired_tests(small_index.table, reference="nobody")
    assert len(paired_tests(small_index.table.iloc[:0])) == 0
