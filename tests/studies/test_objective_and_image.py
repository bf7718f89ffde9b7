import pandas
import pytest

from flowsolve.studies.index import OBJECTIVE
from flowsolve.studies.objective_and_image import agreement, agreement_summary


def make_table(**problems):
    rows = []
    for image, runs in problems.items():
        for value, psnr in runs:
            row = dict.fromkeys(OBJECTIVE, "x") | {"lam_given": "map", "image": image}
            rows.append({**row, "value": value, "psnr": psnr, "psnr_peak": psnr + 1.0})
    return pandas.DataFrame(rows)


def test_ranks_of_f_and_psnr_within_a_problem():
    table = make_table(agree=[(3, 20), (2, 25), (1, 30)], not_at_all=[(3, 30), (2, 25), (1, 20)])
    agree, disagree = agreement(table).to_dict("records")
    assert agree["correlation"] == pytest.approx(1) and agree["regret"] == 0
    assert disagree["correlation"] == pytest.approx(-1) and disagree["regret"] == 10
    assert (disagree["psnr_lowest"], disagree["psnr_highest"]) == (20, 30)
    (summary,) = agreement_summary(agreement(table)).to_dict("records")
    assert summary["problems"] == 2 and summary["correlation"] == pytest.approx(0)
    assert summary["lowest_is_best"] == 0.5 and summary["overshoot"] == 1.0


def test_values_of_other_weights_are_not_mixed(small_index):
    found = agreement(small_index.table)
    assert len(found) == 2 and set(found["runs"]) == {6} and set(found["lam_given"]) == {"map"}


def test_two_runs_have_a_regret_and_no_correlation():
    (row,) = agreement(make_table(one=[(1, 20), (2, 22)])).to_dict("records")
    assert row["regret"] == 2 and row["correlation"] != row["correlation"]


def test_nothing_to_compare_gives_empty_tables(small_index):
    found = agreement(small_index.table.iloc[:1])
    assert len(found) == 0 and len(agreement_summary(found)) == 0
