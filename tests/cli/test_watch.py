import numpy as np

import flowsolve as fs
from flowsolve.cli import main
from flowsolve.cli.watch import curve


def test_shows_a_finished_run_and_ends(solve, tmp_path, capsys):
    assert solve("--out", tmp_path, "--sigma", 0.05, "--solver", "lbfgs")[0] == 0
    for arguments in ([], ["--once"]):
        assert main(["watch", str(tmp_path / "run.h5"), *arguments]) == 0
        out = capsys.readouterr().out
        for word in ("finished", "objective", "PSNR", "iteration", "3 of 3", "█"):
            assert word in out, word


def test_follows_a_run_until_it_ends(tiny_prior, problem, tmp_path, capsys, monkeypatch):
    path = tmp_path / "run.h5"
    limits = {"max_iter": 5, "max_evaluations": None, "max_seconds": None, "rtol": None}
    run = fs.Run(fs.Analysis(problem, tiny_prior), fs.solvers.make_solver("adam"), "zeros", limits=limits)
    run.record_to(path, flush_seconds=0.0)
    slept, steps = [], iter(run)
    next(steps)

    def sleep(seconds):
        slept.append(seconds)
        if next(steps, None) is None:
            run.__exit__(None, None, None)

    monkeypatch.setattr("time.sleep", sleep)
    assert main(["watch", str(path), "--interval", "0.25"]) == 0
    assert slept == [0.25] * 5
    assert "5 of 5" in capsys.readouterr().out


def test_bad_input_is_one_line(tmp_path, capsys):
    assert main(["watch", str(tmp_path / "no.h5")]) == 2
    assert "no file" in capsys.readouterr().err
    assert main(["watch", str(tmp_path / "no.h5"), "--interval", "0"]) == 2


def test_a_curve_rises_from_left_to_right():
    lines = curve(np.arange(16.0), width=8, height=2).splitlines()
    assert lines == ["    ▁▃▅█", "▁▃▅▇████"] or (lines[0][0], lines[0][-1], lines[1][-1]) == (" ", "█", "█")
    assert all(len(line) == 8 for line in lines)
    flat = curve(np.ones(3), height=2).splitlines()
    assert flat == ["   ", "███"]
