import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import PATIENCE

import flowsolve as fs
from flowsolve.cli import main


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
