import dataclasses

import pandas
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.answers import answers, best_images, effect_of_the_start
from flowsolve.studies.index import read_index


def test_every_question_of_a_study_is_answered(small_index):
    found = {answer.question: answer for answer in answers(small_index)}
    assert list(found) == [
        "Which solver for which problem?",
        "Which solver is the fastest?",
        "Does a lower F mean a better image?",
        "What does the start do?",
        "How much does the weight matter?",
        "How did the runs end?",
    ]
    best = found["Which solver for which problem?"]
    means = small_index.table.groupby(["solver", "start", "lam_given"])["psnr"].mean()
    assert best.table["psnr"].iloc[0] == pytest.approx(means.max(), abs=0.2)
    assert best.table["of"].tolist() == [6, 6] and set(best.table["solver"]) == {"lbfgs", "adam"}
    first, other = best.table.to_dict("records")
    assert f"{first['solver']} over images from {first['start']} (lam {first['lam_given']})" in best.text
    assert f", {first['psnr']:.2f} dB; others at their best: {other['solver']} over images" in best.text
    assert "2 images could not show any difference" in best.text
    weight = found["How much does the weight matter?"].text
    assert weight.startswith("inpaint-random missing=0.4 (sigma 0.05), over images (nll): the best weight")
    end = found["How did the runs end?"].text
    assert "16 images ended max_iter" in end and "1 cell failed, 1 still to be run" in end
    assert "1 × UnsupportedError: no" in end


def test_the_answer_about_the_start_names_the_best_and_what_others_cost(small_index):
    (start,) = (a for a in answers(small_index) if a.question == "What does the start do?")
    rows = start.table
    # The other weights of lbfgs ran from one start.
    assert rows["solver"].tolist() == ["lbfgs", "lbfgs", "adam", "adam"] and set(rows["runs"]) == {3.0}
    assert rows["under"].isna().tolist() == [True, False, True, False]
    loser = rows.iloc[1]
    lines = start.text.splitlines()
    assert lines[0].startswith("Over images the best start is ") and " of 2 pairs " in lines[0]
    assert f"{loser['start']} costs " in lines[1] and f"{loser['under']:.2f}" in lines[1]
    assert "seeds of random lie " in lines[1] and "; 3 runs end in " in lines[1]


def test_seeds_of_a_single_start_are_an_answer_too(small_index):
    only = small_index.table[small_index.table["start"] == "random"]
    start = effect_of_the_start(dataclasses.replace(small_index, table=only), 0.5)
    (words, _) = start.text.splitlines()
    assert "over images (nll, lam map): from random alone; seeds of random lie " in words
    assert "; 2 runs end in " in words


def test_several_tasks_are_summed_up_first(small_index):
    table = small_index.table
    more = pandas.concat([table, table.assign(task="denoise")], ignore_index=True)
    words = best_images(dataclasses.replace(small_index, table=more)).text.splitlines()
    assert words[0].endswith(" on 2 of 2 tasks; over images on 2.")
    assert words[2].startswith("denoise missing=0.4 (sigma 0.05): ")


def test_what_there_are_no_runs_for_is_left_out(small_study):
    record = small_study / "runs" / "analysis-adam-zeros-map-s0-00000000.h5"
    questions = [answer.question for answer in answers(read_index([record]))]
    assert questions == ["Which solver for which problem?", "How did the runs end?"]


def test_nothing_to_answer_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="a study that was run"):
        answers(read_index([tmp_path]))
