import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.answers import answers
from flowsolve.studies.index import read_index


def test_every_question_of_a_study_is_answered(small_index):
    found = {answer.question: answer for answer in answers(small_index)}
    assert list(found) == [
        "Which combination restores best?",
        "Which solver is the fastest?",
        "Does a lower F mean a better image?",
        "What does the start do?",
        "How much does the weight matter?",
        "How did the runs end?",
    ]
    best = found["Which combination restores best?"]
    means = small_index.table.groupby(["solver", "start", "lam_given"])["psnr"].mean()
    assert best.table["psnr"].iloc[0] == pytest.approx(means.max(), abs=0.2)
    assert best.table["of"].tolist() == [5] and f"{best.table['psnr'].iloc[0]:.2f} dB" in best.text
    start = found["What does the start do?"].table
    assert start["solver"].tolist() == ["lbfgs", "adam"] and start["runs"].tolist() == [3, 3]
    end = found["How did the runs end?"].text
    assert "16 images ended max_iter" in end and "1 cells failed, 1 have not been run" in end
    assert "1 × UnsupportedError: no" in end


def test_what_there_are_no_runs_for_is_left_out(small_study):
    record = small_study / "runs" / "analysis-adam-zeros-map-s0-00000000.h5"
    questions = [answer.question for answer in answers(read_index([record]))]
    assert questions == ["Which combination restores best?", "How did the runs end?"]


def test_nothing_to_answer_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="a study that was run"):
        answers(read_index([tmp_path]))
