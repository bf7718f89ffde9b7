from flowsolve.studies.statuses import failure_table, status_table


def test_statuses_of_methods(small_index):
    counts = status_table(small_index.table)
    assert counts.loc["lbfgs from zeros", "max_iter"] == 6 and counts.to_numpy().sum() == 16
    assert status_table(small_index.table, ["solver"]).index.tolist() == ["lbfgs", "adam"]


def test_failures_by_cause(small_index):
    (row,) = failure_table(small_index).to_dict("records")
    assert row["error"] == "UnsupportedError" and row["cells"] == 1 and row["solvers"] == "momentum"
    assert row["example"].startswith("analysis-momentum")
