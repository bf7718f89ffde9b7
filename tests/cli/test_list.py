import pytest

from flowsolve import initialise, operators, solvers, tasks
from flowsolve.cli import main

KINDS = {
    "solvers": solvers.registry,
    "operators": operators.registry,
    "initialisers": initialise.registry,
    "tasks": tasks.registry,
    "priors": ["faces64"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_listed_with_a_line(kind, capsys):
    assert main(["list", kind]) == 0
    out = capsys.readouterr().out
    for name in KINDS[kind]:
        assert name in out


def test_unknown_kind(capsys):
    assert main(["list", "things"]) == 2
    assert "solvers, operators, priors, initialisers, tasks" in capsys.readouterr().err
