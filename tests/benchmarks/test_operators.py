"""The table of operators: what several processes measured, put together."""

import pytest

from benchmarks import operators


def contender(*seconds, peak=8.0):
    return {"peak_bytes": peak, "fingerprint": [1.0, 2.0], "seconds": list(seconds)}


def test_rounds_of_all_processes_count_alike():
    runs = [
        {"flowsolve": contender(1.0, 2.0), "peer": contender(2.0, 2.0)},
        {"flowsolve": contender(4.0, 6.0, peak=9.0), "peer": contender(2.0, 2.0)},
    ]
    rows = operators.pooled(runs)
    assert rows["flowsolve"]["seconds"] == [1.0, 2.0, 4.0, 6.0]
    assert rows["flowsolve"]["seconds_median"] == 3.0 and rows["flowsolve"]["peak_bytes"] == 9.0
    assert rows["peer"]["ratio_median"] == pytest.approx(1.5) and rows["peer"]["ratio_min"] == 0.5
    assert rows["peer"]["agrees"]


def test_a_library_that_failed_once_has_failed():
    runs = [
        {"flowsolve": contender(1.0), "peer": contender(2.0)},
        {"flowsolve": contender(1.0), "peer": {"error": "the process ended"}},
    ]
    assert operators.pooled(runs)["peer"] == {"error": "the process ended"}
    # One that is not there any more has ended, too.
    assert "error" in operators.pooled([runs[0], {"flowsolve": contender(1.0)}])["peer"]


def test_the_row_of_the_table_names_the_fastest_other_library():
    contenders = operators.pooled(
        [{"flowsolve": contender(1.0), "deepinv": contender(4.0), "scico": contender(2.0)}]
    )
    row = {"operator": "mask", "size": "1x3x8x8", "map": "apply", "contenders": contenders, "output_bytes": 4}
    text = operators.table({"versions": {"deepinv": "0", "scico": "0"}, "rows": [row]})
    assert "| scico | 0.50 (0.50) |" in text and text.rstrip().endswith("| 2.0 |")
