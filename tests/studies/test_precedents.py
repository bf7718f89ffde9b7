import pytest
from study_records import make_cell, make_study

from flowsolve.errors import ArgumentError
from flowsolve.studies.index import read_index
from flowsolve.studies.precedents import advise_from


def test_the_best_mean_psnr_is_chosen(small_index):
    found = advise_from(small_index, "inpaint-random", sigma=0.05)
    ranking = found.ranking
    assert ranking["psnr"].is_monotonic_decreasing and ranking["verdict"].iloc[0] == "chosen"
    assert len(ranking) == 6 and set(ranking["images"]) == {2}
    table = small_index.table
    best = table.groupby(["solver", "start", "lam_given"])["psnr"].mean().idxmax()
    chosen = found.chosen
    assert (chosen.solver, chosen.init) == best[:2] and found.sigma == 0.05
    assert chosen.lam == ("map" if best[2] == "map" else repr(float(best[2])))
    assert ranking["combination"].iloc[0] in found.paragraph


def test_the_nearest_noise_level_is_taken_and_told(small_index):
    found = advise_from(small_index, "inpaint-random", sigma=0.2)
    assert found.sigma == 0.05 and "no runs at sigma 0.2" in found.paragraph


def test_options_of_solvers_cannot_be_advised_as_a_command(tiny_prior, tmp_path):
    cells = [make_cell("lbfgs", solver_options={"history": 3}, id="with-options"), make_cell("adam")]
    index = read_index([make_study(tmp_path / "study", tiny_prior, cells)])
    found = advise_from(index, "inpaint-random", sigma=0.05)
    assert found.chosen.solver == "adam"
    verdicts = dict(zip(found.ranking["combination"], found.ranking["verdict"], strict=True))
    assert any(v.startswith("from Python") for k, v in verdicts.items() if "lbfgs" in k)
    with pytest.raises(ArgumentError, match="options that a command cannot name"):
        advise_from(
            read_index([tmp_path / "study" / "runs" / "with-options.h5"]), "inpaint-random", sigma=0.05
        )


def test_what_is_not_there_is_said(small_index):
    with pytest.raises(ArgumentError, match="these are of inpaint-random"):
        advise_from(small_index, "deblur", sigma=0.05)
    with pytest.raises(ArgumentError, match="no finished run"):
        advise_from(small_index, "inpaint-random", sigma=0.05, prior="another")
    with pytest.raises(ArgumentError, match="no finished run"):
        advise_from(small_index, "inpaint-random", sigma=0.05, operator={"missing": 0.9})
    assert advise_from(small_index, "inpaint-random", sigma=0.05, operator={"missing": 0.4})


def test_runs_of_different_operators_are_not_mixed(tiny_prior, tmp_path):
    cells = [make_cell(), make_cell("adam", operator={"missing": 0.5})]
    index = read_index([make_study(tmp_path / "study", tiny_prior, cells)])
    with pytest.raises(ArgumentError, match="say which by the options of the task"):
        advise_from(index, "inpaint-random", sigma=0.05)
