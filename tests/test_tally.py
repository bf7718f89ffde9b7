import numpy as np

from flowsolve.tally import COUNTED, Tally, with_all_counts


def test_counts_only_the_images_named():
    tally = Tally(3)
    tally.add(np.array([0, 2]), "E", "A")
    tally.add(np.array([2]), "E")
    assert tally.counts["E"].tolist() == [1, 0, 2]
    assert tally.counts["A"].tolist() == [1, 0, 1]


def test_copy_does_not_follow():
    tally = Tally(1)
    before = tally.copy()
    tally.add(np.array([0]), *COUNTED)
    assert all(v.tolist() == [0] for v in before.values())
    assert set(before) == set(COUNTED)


def test_counts_that_were_not_known_are_zero():
    columns = {"value": np.ones((2, 3)), "evaluations": np.array([[1, 2, 3]] * 2), "E": np.ones((2, 3), int)}
    filled = with_all_counts(columns)
    assert filled["E"] is columns["E"] and set(filled) == {"value", *COUNTED}
    assert filled["jvp_D"].shape == (2, 3) and filled["jvp_D"].dtype == np.int64 and not filled["jvp_D"].any()
    assert with_all_counts({"value": np.ones(2)}).keys() == {"value"}
