import numpy as np
import pytest
from helpers import make_problem

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.report.compare import compare_runs, comparison_figure, cost_of


@pytest.fixture
def records(tiny_prior, problem, tmp_path):
    found = []
    for i, (solver, iterations) in enumerate((("adam", 4), ("lbfgs", 9), ("lbfgs", 9))):
        path = tmp_path / f"{i}.h5"
        fs.solve(fs.Analysis(problem, tiny_prior), solver, max_iter=iterations, rtol=None, record=path)
        found.append(fs.open_run(path))
    return found


def test_runs_are_compared_at_the_largest_cost_that_all_reached(records):
    adam, lbfgs = compare_runs(records[:2], "iterations")
    assert adam.at_common[0] == pytest.approx(records[0].trace["value"][-1].mean())
    assert lbfgs.at_common[0] == pytest.approx(records[1].trace["value"][4].mean())
    assert lbfgs.at_common[1] == pytest.approx(records[1].trace["psnr"][4].mean())


def test_labels_say_what_differs_and_files_tell_equal_runs_apart(records):
    labels = [run.label for run in compare_runs(records)]
    assert labels[0].startswith("adam ") and labels[1].startswith("lbfgs ")
    assert labels[1] != labels[2] and labels[1].endswith("1.h5")


def test_costs_come_from_the_trace(records):
    trace = records[1].trace
    np.testing.assert_array_equal(
        cost_of(records[1], "flow"), trace["E"] + trace["vjp_E"] + trace["D"] + trace["vjp_D"]
    )
    np.testing.assert_array_equal(cost_of(records[1], "seconds"), trace["seconds"])
    with pytest.raises(ArgumentError, match="axis"):
        cost_of(records[1], "euros")


def test_figure_has_psnr_only_where_the_truth_is_known(records, tiny_prior, tmp_path):
    assert len(comparison_figure(compare_runs(records), "evaluations").axes) == 2
    problem = make_problem()
    blind = fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)
    fs.solve(fs.Analysis(blind, tiny_prior), max_iter=1, record=tmp_path / "blind.h5")
    figure = comparison_figure(compare_runs([fs.open_run(tmp_path / "blind.h5")]), "evaluations")
    assert len(figure.axes) == 1


def test_nothing_to_compare_is_refused():
    with pytest.raises(ArgumentError, match="one or more records"):
        compare_runs([])


def test_objectives_of_another_prior_term_are_measured_from_their_own_lowest(tiny_prior, problem, tmp_path):
    found = []
    for phi in ("nll", "latent", "nll"):
        path = tmp_path / f"{len(found)}.h5"
        objective = fs.Analysis(problem, tiny_prior, phi=phi)
        fs.solve(objective, "adam", "zeros", max_iter=3 + len(found), rtol=None, record=path)
        found.append(fs.open_run(path))
    compared = compare_runs(found)
    assert compared[0].objective == compared[2].objective != compared[1].objective
    curves = [line.get_ydata() for line in comparison_figure(compared, "evaluations").axes[0].lines]
    assert np.isnan(curves[1][-1]) and np.isnan(curves[2][-1]) and curves[0][-1] > 0
