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
    assert "methods, solvers, searches, operators, priors, initialisers, tasks" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["fidelities", "functionals", "noise", "searches", "baselines", "metrics"])
def test_more_kinds_of_names(kind, capsys):
    assert main(["list", kind]) == 0
    first = {
        "fidelities": "least_squares",
        "functionals": "TotalVariation",
        "noise": "poisson",
        "searches": "armijo",
        "baselines": "harmonic",
        "metrics": "psnr",
    }
    assert first[kind] in capsys.readouterr().out


def test_options_of_a_solver(capsys):
    assert main(["list", "solvers", "adam"]) == 0
    out = capsys.readouterr().out
    assert "lr" in out and "default" in out
    assert main(["list", "solvers", "adm"]) == 2
    assert "did you mean 'adam'" in capsys.readouterr().err
