"""What is printed: text as it is, on any terminal, whatever the names in it are.

Names of files, titles and messages may hold square brackets, which are no markup here, and characters that
would steer the terminal, which are shown by their codes. Where the output cannot hold a character, its code
stands for it.
"""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

#: Columns of a wide page where there is no terminal: other programs want a row on one line.
WIDE = 240

#: What steers a terminal or the direction of writing, or has no encoding; not line breaks and tabs.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """Return a text with characters that would steer a terminal replaced by their codes."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


class PlainConsole(Console):
    """A console that takes text for text: no markup, no emoji codes, no controls."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text to be printed; see `rich.console.Console.render_str`."""
        return super().render_str(plain(text), **options)


def console(*, wide: bool = False, stderr: bool = False) -> PlainConsole:
    """Return a console, made anew so that redirection is seen.

    Parameters
    ----------
    wide : bool
        Whether rows stay on one line where there is no terminal.
    stderr : bool
        Whether to write on standard error, in place of standard output.
    """
    made = PlainConsole(stderr=stderr)
    if wide and not made.is_terminal:
        made.width = WIDE
    return made


def tolerate_encodings() -> None:
    """Let standard output and error show the code of a character that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict":
            _tolerate(stream)


def _tolerate(stream: TextIO) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
