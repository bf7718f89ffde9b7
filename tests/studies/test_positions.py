import pytest

from flowsolve.studies.positions import key_lines, line_of
from flowsolve.studies.toml import tomllib

TEXT = '''\
title = "a # no comment [x]" # one
images = [
    "one.png",  # first
    # between
    "two.png", 'three ] .png',
]
budget.max_iter = 3

[solvers.fast]
solver = "lbfgs"
inner = { name = "adam", options = { rate = 0.1 } }

[solvers."with space"]
text = """
several
lines"""
solver = "adam"

[[cells]]
solver = ["fast", "with space"]
lam = [1e-3,
       "map"]
dates = 1979-05-27 07:32:00
[cells.deeper]
x = 1

[[cells]]
solver = "adam"
nested = [[1, 2],
 [3,
  4]]
'''


def test_lines_of_all_kinds_of_keys():
    tomllib.loads(TEXT)
    lines = key_lines(TEXT)
    expected = {
        ("title",): 1,
        ("images",): 2,
        ("images", 0): 3,
        ("images", 1): 5,
        ("images", 2): 5,
        ("budget", "max_iter"): 7,
        ("solvers", "fast"): 9,
        ("solvers", "fast", "inner", "options", "rate"): 11,
        ("solvers", "with space"): 13,
        ("solvers", "with space", "solver"): 17,
        ("cells",): 19,
        ("cells", 0): 19,
        ("cells", 0, "solver", 1): 20,
        ("cells", 0, "lam", 0): 21,
        ("cells", 0, "lam", 1): 22,
        ("cells", 0, "dates"): 23,
        ("cells", 0, "deeper", "x"): 25,
        ("cells", 1): 27,
        ("cells", 1, "nested", 1, 1): 31,
    }
    assert {place: lines[place] for place in expected} == expected


def test_every_value_has_a_line():
    lines = key_lines(TEXT)

    def walk(value, place):
        assert place == () or place in lines
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, part in items:
            walk(part, (*place, key))

    walk(tomllib.loads(TEXT), ())


def test_a_place_without_a_line_has_that_of_what_is_around_it():
    lines = key_lines(TEXT)
    assert line_of(lines, ("cells", 1, "solver", 0)) == 28
    assert line_of(lines, ("cells", 1, "absent")) == 27
    assert line_of(lines, ("nothing",)) == 1


@pytest.mark.parametrize("text", ["", "# only a comment", "a = 1", "\n\n[a]\r\nb = ''\r\n"])
def test_short_texts(text):
    tomllib.loads(text)
    assert set(key_lines(text)) <= {("a",), ("a", "b")}
