import os
import tempfile
import unicodedata
from pathlib import Path

import pytest
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st

from flowsolve.names import LONGEST, file_names

#: What file names are made of in practice, and what they should not be made of.
PIECES = st.sampled_from(
    [
        *"aAéÉ日ßẞſsıİ1_#. -[]()$%:/\\\n\t\x00\x1b\x7f\u202e\ud800",
        "e\u0301",
        "con",
        "NUL",
        "..",
        "-2",
        "x" * 130,
        "日" * 45,
    ]
)
NAMES = st.lists(st.lists(PIECES, max_size=5).map("".join) | st.text(max_size=8), max_size=8)


@given(NAMES)
@example(["a#1", "a_1"])
@example(["a", "a", "a-2", "a#", "a_"])
@example(["straße", "STRASSE", "ſ", "s"])
@examples(100)
def test_every_name_is_a_file_of_its_own(names):
    found = file_names(names)
    assert len(found) == len(names)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(names)
    for name in found:
        assert 0 < len(name.encode()) <= LONGEST
        assert name.isprintable() and not set(name) & set('/\\:*?"<>|[]')
        assert not name.startswith((".", " ")) and not name.endswith(" ")
        assert name.partition(".")[0].lower() not in ("con", "prn", "aux", "nul")
    with tempfile.TemporaryDirectory() as folder:
        for name in found:
            Path(folder, f"{name}.png").touch(exist_ok=False)
        assert len(os.listdir(folder)) == len(names)


@given(NAMES)
@examples(100)
def test_names_that_files_can_have_stay(names):
    found = file_names(names)
    assert file_names(found) == found


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "a", "A"], ["a", "a-2", "A-3"]),
        (["a#1", "a_1"], ["a_1-2", "a_1"]),
        (["a", "a", "a-2"], ["a", "a-3", "a-2"]),
        (["", ".hidden", ".."], ["_", "_hidden", "__"]),
        (["x" * 200, "x" * 201], ["x" * 120, "x" * 118 + "-2"]),
        (["日" * 100], ["日" * 40]),
        (["photo 1.2", "ünïcode"], ["photo 1.2", "ünïcode"]),
    ],
)
def test_examples(names, expected):
    assert file_names(names) == expected


def test_many_of_one_name_are_numbered_quickly():
    assert len(set(file_names(["a"] * 20000))) == 20000
