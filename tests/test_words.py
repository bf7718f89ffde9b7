import json
import math

import numpy as np
import pytest

from flowsolve.words import jsonable, number


@pytest.mark.parametrize(
    ("value", "word"),
    [(math.inf, "infinite"), (-math.inf, "-infinite"), (math.nan, "undefined"), (1.234, "1.23")],
)
def test_numbers_in_words(value, word):
    assert number(np.float32(value)) == word
    assert json.loads(json.dumps(jsonable(value), allow_nan=False)) == (word if word != "1.23" else 1.234)
