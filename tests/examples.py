"""How many examples Hypothesis tries: few by default, more where FLOWSOLVE_EXAMPLES says so."""

import os

from hypothesis import settings


def examples(default):
    """Return the settings of a test: the same examples every time, however slow the machine."""
    number = int(os.environ.get("FLOWSOLVE_EXAMPLES", default))
    return settings(max_examples=number, deadline=None, derandomize=True, database=None)
