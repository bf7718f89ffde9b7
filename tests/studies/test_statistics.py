import math

import numpy as np
import pytest
from scipy import stats

from flowsolve.studies.statistics import (
    bootstrap_interval,
    holm,
    rank_biserial,
    signed_rank,
    spearman,
    too_few,
)


def test_holm_by_hand():
    # Sorted: .01 × 3, .02 × 2, .04 × 1, never falling; the missing one is no test.
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, np.nan, 0.02])), [0.04, 0.03, np.nan, 0.04])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])
    assert len(holm(np.array([]))) == 0


def test_rank_biserial_by_hand():
    # |d| ranks 1 2 3 4; the negative one has rank 2: (8 − 2) / 10.
    assert rank_biserial(np.array([1.0, -2, 3, 4])) == pytest.approx(0.6)
    assert rank_biserial(np.array([1.0, 2, 0])) == 1.0 and rank_biserial(np.zeros(3)) == 0.0


def test_signed_rank_is_exact_for_few_pairs():
    # All eight of one sign: 2 of 2⁸ equally likely patterns are as extreme.
    assert signed_rank(np.arange(1.0, 9)) == pytest.approx(2 / 2**8)
    assert signed_rank(np.zeros(4)) == 1.0 and math.isnan(signed_rank(np.array([])))


def test_a_few_images_cannot_show_a_difference():
    assert too_few(5, 1, 0.05) and not too_few(6, 1, 0.05)
    assert too_few(8, 7, 0.05) and not too_few(8, 6, 0.05) and not too_few(2, 0, 0.05)


def test_bootstrap_interval_covers_and_agrees_with_scipy():
    values = np.random.default_rng(3).normal(size=40)
    low, high = bootstrap_interval(values)
    assert low < np.median(values) < high and (low, high) == bootstrap_interval(values)
    theirs = stats.bootstrap((values,), np.median, method="percentile", n_resamples=5000).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.08) and high == pytest.approx(theirs.high, abs=0.08)
    assert all(map(math.isnan, bootstrap_interval(np.array([1.0]))))


def test_spearman_where_there_is_nothing_to_say():
    assert spearman(np.array([1, 2, 3]), np.array([10, 20, 15])) == pytest.approx(0.5)
    assert math.isnan(spearman(np.array([1, 2]), np.array([1, 2])))
    assert math.isnan(spearman(np.array([1, 1, 1]), np.array([1, 2, 3])))
