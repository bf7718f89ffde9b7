import pytest

from flowsolve import initialise, metrics, noise, operators, solvers, tasks
from flowsolve.cli import main

KINDS = {
    "solvers": solvers.registry,
    "operators": operators.registry,
    "initialisers": initialise.registry,
    "tasks": tasks.registry,
    "noise": noise.registry,
    "metrics": metrics.registry,
    "priors": ["faces64"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_listed_with_a_line(kind, capsys):
    assert main(["list", kind]) == 0
    out = capsys.readouterr().out
    for name in KINDS[kind]:
        assert name in out


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("tasks", "deblur", ["kernel_size", "Side of the uniform blur (7)", "normalise | as-is"]),
        ("noise", "salt_and_pepper", ["amount", "must be given", "0.5"]),
        ("operators", "radon", ["angles", "dim_shape"]),
    ],
)
def test_options_of_a_name(kind, name, words, capsys):
    assert main(["list", kind, name]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in words), out
    assert main(["list", kind, "nothing"]) == 2


def test_unknown_kind(capsys):
    assert main(["list", "things"]) == 2
    assert "methods, solvers, searches, operators, priors, initialisers, tasks" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["fidelities", "functionals", "noise", "searches", "baselines", "metrics"])
def test_more_kinds_of_names(kind, capsys):
    assert main(["list", kind]) == 0
    first = {
        "fidelities": "least_squares",
        "functionals": "tv",
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
    assert main(["list", "solvers", "adaam"]) == 2
    assert "did you mean 'adam'" in capsys.readouterr().err
