import numpy as np

from flowsolve.tally import COUNTED, Tally


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
