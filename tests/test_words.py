import json
import math
import warnings

import numpy as np
import pytest

from flowsolve.words import deviation, jsonable, number


@pytest.mark.parametrize(
    ("value", "word"),
    [(math.inf, "infinite"), (-math.inf, "-infinite"), (math.nan, "undefined"), (1.234, "1.23")],
)
def test_numbers_in_words(value, word):
    assert number(np.float32(value)) == word
    assert json.loads(json.dumps(jsonable(value), allow_nan=False)) == (word if word != "1.23" else 1.234)


def test_deviations_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert deviation([1.0, 3.0]) == 1.0
        assert deviation([math.inf, math.inf]) == 0.0
        assert math.isnan(deviation([math.inf, 30.0])) and math.isnan(deviation([math.nan, 1.0]))
