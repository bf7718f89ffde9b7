import numpy as np
import pytest

import flowsolve as fs
from flowsolve.cli import main


@pytest.fixture
def interrupted(prior_file, problem, tmp_path):
    """The record of a run interrupted after its third iteration, on a prior that is in a file."""
    prior = fs.load_prior(prior_file)
    problem = problem.to(dtype=prior.dtype)

    def callback(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    path = tmp_path / "run.h5"
    options = {"max_iter": 6, "rtol": None, "checkpoint_seconds": 0.0, "record": path, "callback": callback}
    with pytest.raises(KeyboardInterrupt):
        fs.solve(fs.Analysis(problem, prior), **options)
    return path


def test_continues_to_the_end(interrupted, capsys):
    assert main(["resume", str(interrupted)]) == 0
    assert "finished" in capsys.readouterr().out
    record = fs.open_run(interrupted)
    assert record.trace["iteration"].tolist() == list(range(7))
    assert np.isfinite(record.best["x"]).all()


def test_what_cannot_be_resumed_is_one_line_and_stays_as_it_is(interrupted, prior_file, tmp_path, capsys):
    before = interrupted.read_bytes()
    assert main(["resume", str(interrupted), "--prior", "faces64"]) == 2
    assert "SHA-256" in capsys.readouterr().err
    assert main(["resume", str(interrupted), "--prior", str(tmp_path / "gone.safetensors")]) == 2
    assert main(["resume", str(interrupted), "--threads", "0"]) == 2
    assert interrupted.read_bytes() == before
    capsys.readouterr()
    assert main(["resume", str(interrupted)]) == 0
    assert main(["resume", str(interrupted)]) == 2
    err = capsys.readouterr().err
    assert "nothing to resume" in err and "Traceback" not in err


def test_a_truncated_record_is_one_line(interrupted, capsys):
    whole = interrupted.read_bytes()
    interrupted.write_bytes(whole[: len(whole) // 3])
    for command in ("resume", "show", "watch", "rerun", "compare"):
        assert main([command, str(interrupted)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "cut short or damaged" in err, command
