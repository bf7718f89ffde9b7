import pytest
import torch

import flowsolve as fs
from flowsolve.cli.unfinished import load_for, progress_of, use_threads
from flowsolve.errors import ArgumentError


@pytest.fixture
def record(tiny_prior, problem, tmp_path):
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=1, record=tmp_path / "run.h5")
    return fs.open_run(tmp_path / "run.h5")


def test_threads_are_those_of_the_run_unless_told(record):
    before = torch.get_num_threads()
    try:
        record.config["threads"] = 2
        use_threads(record, None)
        assert torch.get_num_threads() == 2
        use_threads(record, 1)
        assert torch.get_num_threads() == 1
        with pytest.raises(ArgumentError, match="threads"):
            use_threads(record, -1)
    finally:
        torch.set_num_threads(before)


def test_a_named_prior_comes_in_the_dtype_of_the_run(record, prior_file):
    assert load_for(record, None) is None
    assert load_for(record, str(prior_file)).dtype == torch.float64


def test_progress_has_the_limits_of_the_run(record):
    assert progress_of(record, "resumed").max_iter == 1
