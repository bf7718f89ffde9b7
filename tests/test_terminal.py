import io
import sys

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from flowsolve.terminal import PlainConsole, console, plain, tolerate_encodings

HARMFUL = [
    "[/x]",
    "v[bold]2",
    ":smile:",
    "[link=file:///x]a",
    r"\[a]",
    "a\x1b[31mb",
    "a\x9bc",
    "\u202eabc",
    "\ud800",
]


@pytest.mark.parametrize("name", HARMFUL)
def test_names_are_printed_as_they_are_and_steer_nothing(name):
    out = PlainConsole(file=io.StringIO(), width=200)
    table = Table(name, title=name)
    table.add_row(name)
    out.print(name)
    out.print(table)
    text = out.file.getvalue()
    assert text.count(plain(name)) == 4
    assert not set(text) & set("\x9b\x1b\u202e\ud800")


@given(st.text())
@examples(100)
def test_plain_text_has_no_controls_and_keeps_the_rest(text):
    shown = plain(text)
    shown.encode("utf-8")
    assert not [c for c in shown if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]
    if text.isascii() and text.isprintable():
        assert shown == text


@given(st.text(max_size=20), st.sampled_from(["ascii", "cp1252", "cp437", "latin-1", "utf-8"]))
@examples(60)
def test_no_encoding_fails_on_any_name(text, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    old, sys.stdout = sys.stdout, stream
    try:
        tolerate_encodings()
        console().print(text)
        print(f"σ {text}")
        stream.flush()
    finally:
        sys.stdout = old


def test_wide_pages_keep_rows_on_one_line():
    assert console(wide=True).width >= console().width
