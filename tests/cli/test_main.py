import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import PATIENCE

import flowsolve as fs
from flowsolve.cli import main, missing_extra


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_closes_the_record_and_the_run_can_be_resumed(signum, prior_file, photographs, tmp_path):
    words = ["solve", photographs, "--task", "deblur", "--prior", prior_file, "--out", tmp_path / "run"]
    options = ["--max-iter", 100000, "--max-seconds", PATIENCE, "--solver", "adam", "--init", "adjoint"]
    command = [sys.executable, "-m", "flowsolve.cli", *map(str, words + options)]
    # Where these tests run in the background, the shell has SIGINT ignored, and a child inherits that.
    process = subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    path = tmp_path / "run" / "run.h5"
    while process.poll() is None and not (path.exists() and len(fs.open_run(path).trace["iteration"]) > 1):
        time.sleep(0.05)
    process.send_signal(signum)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted; a record that was begun holds what was reached" in err and "Traceback" not in err
    record = fs.open_run(path)
    assert record.status == "interrupted"
    assert record.checkpoint() is not None


def test_without_arguments_there_is_help(capsys):
    assert main([]) == 2
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_output_that_is_no_utf_8_ends_in_no_traceback(encoding, tiny_prior, problem, tmp_path):
    folder = tmp_path / "σ[bold]"
    folder.mkdir()
    fs.solve(fs.Analysis(problem, tiny_prior), "adam", max_iter=4, record=folder / "run.h5")
    commands = [
        ["list", "solvers"],
        ["show", "run.h5"],
        ["watch", "run.h5"],
        ["compare", "run.h5"],
        ["--help"],
    ]
    program = "import sys\nfrom flowsolve.cli import main\n"
    program += f"for words in {commands!r}:\n    assert main(words) == 0, words\n"
    program += "assert main(['show', 'nothing-\u65e5.h5']) == 2\n"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    said = done.stdout.decode(encoding)
    assert "finished" in said and "█" not in said and "@" in said
    assert r"nothing-\u65e5.h5" in done.stderr.decode(encoding)


@pytest.mark.parametrize("name", ["out[/x]", "v[bold]2", "a:smile:b"])
def test_paths_with_brackets_are_shown_as_they_are(name, tiny_prior, problem, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    os.makedirs(name)
    path = f"{name}/run.h5"
    fs.solve(fs.Analysis(problem, tiny_prior), "adam", max_iter=2, record=path)
    figure = f"{name}/figure.png"
    for words in (["show", path], ["watch", path], ["watch", "--once", path]):
        assert main(words) == 0
        assert path in capsys.readouterr().out
    assert main(["compare", path, path, "--out", figure]) == 0
    assert f"written to {figure}" in capsys.readouterr().out
    assert main(["study", "new", f"{name}/study.toml"]) == 0
    assert f"written to {name}/study.toml; next" in capsys.readouterr().out
    assert main(["show", f"{name}/nothing.h5"]) == 2
    assert f"{name}/nothing.h5" in capsys.readouterr().err


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"flowsolve {fs.__version__}\n"


def test_python_runs_the_package():
    done = subprocess.run([sys.executable, "-m", "flowsolve", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("flowsolve ")


@pytest.mark.parametrize(("package", "extra"), [("pandas", "study"), ("plotly", "report")])
def test_a_package_that_is_missing_is_said_with_its_extra(monkeypatch, capsys, package, extra, tmp_path):
    def fail(*_):
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    monkeypatch.setattr("flowsolve.recording.open_run", fail)
    assert main(["show", str(tmp_path / "a.h5")]) == 2
    assert f"pip install 'flowsolve[{extra}]'" in capsys.readouterr().err


def test_other_missing_packages_are_no_matter_of_extras():
    with pytest.raises(ModuleNotFoundError):
        missing_extra(ModuleNotFoundError("No module named 'torch'", name="torch"))
