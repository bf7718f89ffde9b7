from dataclasses import dataclass

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.tasks import option
from flowsolve.tasks.options import REQUIRED, options_of


@dataclass
class Example:
    shift: int = option(help="How far.")
    side: int = option(3, "Side.", least=1)
    share: float | None = None
    rule: str = option("near", "Rule.", choices=("near", "far"))
    loud: bool = False
    weights: np.ndarray | None = option(None, "Weights.", read=lambda path, options: np.load(path))


KNOWN = options_of(Example)


def test_what_is_known_of_fields():
    assert [o.name for o in KNOWN.values()] == ["shift", "side", "share", "rule", "loud", "weights"]
    assert KNOWN["share"].type is float and KNOWN["weights"].type is np.ndarray
    assert KNOWN["shift"].default is REQUIRED
    assert KNOWN["rule"].in_words() == "near | far; near"
    assert KNOWN["shift"].in_words() == "integer; must be given"


def test_texts_become_values(tmp_path):
    np.save(tmp_path / "w.npy", np.eye(2))
    assert KNOWN["side"].parse("5", {}) == 5 and KNOWN["share"].parse("0.5", {}) == 0.5
    assert KNOWN["loud"].parse("true", {}) is True and KNOWN["rule"].parse("far", {}) == "far"
    assert KNOWN["shift"].parse("-2", {}) == -2
    np.testing.assert_array_equal(KNOWN["weights"].parse(str(tmp_path / "w.npy"), {}), np.eye(2))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("side", "0", "side: got 0"),
        ("side", "much", "side: got 'much'"),
        ("shift", "1.5", "shift: got 1.5; accepted: an integer"),
        ("share", "much", "share: got 'much'; accepted: a finite number"),
        ("rule", "nowhere", "rule: got 'nowhere'; accepted: near, far"),
        ("loud", "perhaps", "loud: got 'perhaps'; accepted: true or false"),
    ],
)
def test_bad_texts(name, text, message):
    with pytest.raises(ArgumentError, match=message):
        KNOWN[name].parse(text, {})
