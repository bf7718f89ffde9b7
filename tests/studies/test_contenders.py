import numpy as np
import pandas
import pytest

from flowsolve.studies.contenders import contenders, starts

PSNR = np.array([20.0, 21, 22, 23, 24, 25, 26, 27])


def made(*runs):
    """Return a table of runs: what each one has, and by how many dB it is over `PSNR`, image by image."""
    common = {"task": "t", "operator": "", "sigma": 0.1, "prior": "p", "formulation": "analysis"}
    common |= {"phi": "nll", "lam_given": "map", "solver": "lbfgs", "start": "zeros", "seed": 0}
    return pandas.DataFrame(
        {**common, **has, "image": f"i{i}", "measurement": f"m{i}", "psnr": psnr}
        for has, gain in runs
        for i, psnr in enumerate(PSNR + gain)
    )


def test_other_solvers_and_formulations_appear_at_their_best():
    table = made(
        ({"start": "random"}, 1.0),
        ({}, 3.0),
        ({"solver": "adam"}, 2.0),
        ({"solver": "adam", "start": "random"}, 1.5),
        ({"formulation": "synthesis", "phi": "latent"}, -1.0),
        ({"formulation": "synthesis", "phi": "latent", "solver": "adam"}, 0.0),
    )
    found = contenders(table)
    assert found[["solver", "formulation", "start"]].to_numpy().tolist() == [
        ["lbfgs", "analysis", "zeros"],
        ["adam", "analysis", "zeros"],
        ["adam", "synthesis", "zeros"],
    ]
    assert found["psnr"].tolist() == [26.5, 25.5, 23.5] and set(found["of"]) == {6}
    assert np.isnan(found["under"].iloc[0]) and found["under"].tolist()[1:] == [1.0, 3.0]
    # All eight differences of one sign, twice: 2 · 2^(1 − 8).
    assert found["effect"].tolist()[1:] == [1.0, 1.0] and found["p_holm"].iloc[1] == pytest.approx(2 / 2**7)


def test_the_mean_and_the_ranks_may_disagree():
    better_but_once = np.array([0.1] * 7 + [-9.0])
    first, other = contenders(made(({}, 0.0), ({"solver": "adam"}, better_but_once))).to_dict("records")
    assert (first["solver"], other["solver"]) == ("lbfgs", "adam")
    assert other["under"] == pytest.approx(-0.1) and other["effect"] == pytest.approx(-(36 - 8 - 8) / 36)
    assert other["low"] <= other["under"] <= other["high"]


def test_tasks_are_compared_within_themselves_and_unknown_truths_left_out():
    table = made(({}, 1.0), ({"solver": "adam"}, 0.0), ({"task": "u", "solver": "adam"}, 5.0))
    table.loc[len(table)] = {**table.iloc[0], "task": "measured", "psnr": np.nan}
    assert contenders(table)["task"].tolist() == ["t", "t", "u"]


def test_starts_are_compared_solver_by_solver():
    found = starts(
        made(
            ({}, np.array([1.0] * 6 + [-1] * 2)),
            ({"start": "random"}, 0.0),
            ({"start": "random", "seed": 1}, -0.5),
            ({"solver": "adam"}, 0.0),
        )
    )
    # Adam ran from one start.
    assert found["start"].tolist() == ["zeros", "random"] and set(found["solver"]) == {"lbfgs"}
    zeros, random = found.to_dict("records")
    assert zeros["wins"] == 0.75 and random["wins"] == 0.25
    # Over seeds the median of 0 and -0.5.
    assert random["under"] == pytest.approx(1.25) and random["seeds"] == pytest.approx(0.5)
    assert np.isnan(zeros["seeds"]) and 0 < random["effect"] < 1


def test_seeds_of_a_single_start_are_compared_too():
    found = starts(made(({"start": "random"}, 0.0), ({"start": "random", "seed": 1}, 2.0)))
    assert found["start"].tolist() == ["random"] and found["seeds"].tolist() == [2.0]
    assert np.isnan(found["under"].iloc[0]) and found["psnr"].tolist() == [24.5]


def test_nothing_to_compare_is_an_empty_table():
    table = made(({}, 0.0)).iloc[:0]
    assert contenders(table).empty and starts(table).empty and "p_holm" in contenders(table)
