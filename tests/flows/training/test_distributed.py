import json
import os
import socket
import subprocess
import sys

import pytest
from helpers import PATIENCE

from flowsolve.flows import read_checkpoint
from flowsolve.flows.training import train


def launch(arguments, processes):
    """Start the command line as torchrun would, and return the exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    started = []
    for rank in range(processes):
        variables = {**shared, "RANK": rank, "LOCAL_RANK": rank}
        environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        command = [sys.executable, "-m", "flowsolve.cli", *map(str, arguments)]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    results = [(*process.communicate(timeout=PATIENCE), process.returncode) for process in started]
    return [code for _, _, code in results], [error for _, error, _ in results]


@pytest.mark.slow
def test_two_processes_do_what_one_does_with_twice_the_batch(options, pictures, tmp_path):
    one = options(out=tmp_path / "one", batch=8, threads=1, max_updates=12)
    report = train(one)
    arguments = ["train", pictures, "--out", tmp_path / "two", "--hours", 1000, "--size", 8, "--levels", 2]
    arguments += [
        "--steps",
        2,
        "--hidden",
        8,
        "--batch",
        4,
        "--lr",
        0.01,
        "--max-updates",
        12,
        "--threads",
        1,
    ]
    codes, errors = launch(arguments, 2)
    assert codes == [0, 0], errors
    assert errors[1].count("validation") == 0  # the second process is silent

    def last(folder):
        events = [json.loads(line) for line in (folder / "train.json").read_text().splitlines()]
        return [event for event in events if event["event"] == "train"][-1], events[-1]

    (train_one, end_one), (train_two, end_two) = last(tmp_path / "one"), last(tmp_path / "two")
    assert end_two["images"] == end_one["images"] == 96
    assert train_two["loss"] == pytest.approx(train_one["loss"], rel=0.01)
    assert end_two["bits"] == pytest.approx(report.bits, rel=0.01)
    assert read_checkpoint(tmp_path / "two" / "prior.safetensors").card.bits_per_dim == end_two["bits"]
    # What one process refuses both refuse, instead of waiting for one another.
    codes, errors = launch(arguments, 2)
    assert codes == [2, 2] and all("has a run in it" in error for error in errors)
