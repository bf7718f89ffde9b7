from flowsolve.cli import main


def test_shows_settings_and_outcome(solve, tmp_path, capsys):
    assert solve("--out", tmp_path, "--sigma", 0.05, "--solver", "lbfgs")[0] == 0
    assert main(["show", str(tmp_path / "run.h5")]) == 0
    out = capsys.readouterr().out
    for word in ("finished", "harmonic", "lbfgs", "sigma 0.05", "tiny", "max_iter", "mean", "analysis"):
        assert word in out, word


def test_a_constrained_run_without_truth(solve, tmp_path, photographs, capsys):
    assert solve("--out", tmp_path, "--measured", "--sigma", 0, "--box", 3, task="inpaint-box")[0] == 0
    assert main(["show", str(tmp_path / "run.h5")]) == 0
    out = capsys.readouterr().out
    assert "hard constraint" in out and "dB" not in out


def test_what_is_no_record(tmp_path, capsys):
    (tmp_path / "x.h5").write_bytes(b"no record")
    for name in ("x.h5", "gone.h5"):
        assert main(["show", str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert name in err and err.count("\n") == 1
