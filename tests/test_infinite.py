import math

import numpy as np
import pytest
from scipy import stats

from flowsolve.infinite import deviation, difference, median, quantiles, span

pytestmark = pytest.mark.filterwarnings("error")
INF = math.inf


def test_equal_infinities_do_not_differ():
    np.testing.assert_array_equal(
        difference([INF, INF, 1.0, -INF, 3.0], [INF, 1.0, INF, -INF, 1.0]), [0, INF, -INF, 0, 2]
    )
    assert math.isnan(difference(math.nan, 1.0))
    assert span([INF, INF]) == 0 and span([1.0, INF]) == INF and span([1.0, 3.5]) == 2.5


def test_medians_and_quantiles_of_infinite_numbers():
    assert median([INF, INF]) == median([INF, INF, 1.0]) == INF
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert quantiles(np.array([INF] * 10), (0.1, 0.9)).tolist() == [INF, INF]
    assert quantiles(np.array([1.0, 2.0, INF]), (0.0, 1.0)).tolist() == [1.0, INF]
    assert np.isnan(quantiles(np.array([math.nan, INF]), (0.5,))).all()
    values = np.random.default_rng(0).standard_normal(99)
    np.testing.assert_array_equal(quantiles(values, (0.3, 0.7)), np.quantile(values, (0.3, 0.7)))


def test_deviations():
    assert deviation([1.0, 3.0]) == 1.0 and deviation([INF, INF]) == 0.0
    assert math.isnan(deviation([INF, 30.0])) and math.isnan(deviation([math.nan, 1.0]))


def test_ranks_take_infinite_differences():
    """What the paired tests rely on: SciPy ranks an infinite difference as the largest."""
    finite, infinite = np.array([1.0, -2.0, 3.0, 9.0]), np.array([1.0, -2.0, 3.0, INF])
    assert stats.wilcoxon(finite).pvalue == stats.wilcoxon(infinite).pvalue
