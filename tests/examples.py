"""How many examples Hypothesis tries: few by default, more where FLOWSOLVE_EXAMPLES says so.

They are the same ones every time, unless FLOWSOLVE_RANDOM is set; ``--hypothesis-seed`` then says which.
"""

import os

from hypothesis import HealthCheck, settings


def examples(default):
    """Return the settings of a test, which hold however slow the machine is."""
    number = int(os.environ.get("FLOWSOLVE_EXAMPLES", default))
    repeatable = "FLOWSOLVE_RANDOM" not in os.environ
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=repeatable,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
