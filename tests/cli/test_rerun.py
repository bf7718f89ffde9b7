import h5py

import flowsolve as fs
from flowsolve.cli import main


def test_a_repeated_run_is_identical_and_recorded(solve, tmp_path, capsys):
    assert solve("--out", tmp_path, "--sigma", 0.05, "--solver", "lbfgs")[0] == 0
    assert main(["rerun", str(tmp_path / "run.h5"), "--out", str(tmp_path / "again.h5")]) == 0
    assert "identical: 3 iterations agree bit by bit" in capsys.readouterr().out
    assert fs.open_run(tmp_path / "again.h5").status == "finished"


def test_a_different_trace_is_said_to_be_and_exits_with_one(solve, tmp_path, capsys):
    assert solve("--out", tmp_path, "--sigma", 0.05)[0] == 0
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file["trace/value"][0, 2] *= 1.01
    assert main(["rerun", str(tmp_path / "run.h5")]) == 1
    assert "value: largest relative difference 0.0099" in capsys.readouterr().out


def test_the_run_itself_is_never_written_over(solve, tmp_path, capsys):
    assert solve("--out", tmp_path, "--sigma", 0.05)[0] == 0
    path = tmp_path / "run.h5"
    before = path.read_bytes()
    assert main(["rerun", str(path), "--out", str(path)]) == 2
    assert path.read_bytes() == before
