"""A command that is run on a tiny prior and tiny photographs."""

import pytest
from cli_inputs import photographs, prior_file

from flowsolve.cli import main

__all__ = ["photographs", "prior_file", "solve"]


@pytest.fixture
def solve(prior_file, photographs, capsys):
    """Run ``flowsolve solve`` and return (exit code, standard output, standard error)."""

    def run(*arguments, task="inpaint-random", images=None, max_iter=3):
        images = [photographs] if images is None else images
        words = ["solve", *images, "--task", task, "--prior", prior_file, "--max-iter", max_iter, *arguments]
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
