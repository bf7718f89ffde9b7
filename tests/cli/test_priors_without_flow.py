"""What ``show``, ``compare``, ``report`` and ``rerun`` make of records whose prior is no flow."""

import pytest
from helpers import make_problem
from outside_priors import make_denoiser, make_energy

import flowsolve as fs
from flowsolve.cli import main


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Record a run with an energy, by RED and by plug-and-play."""
    folder = tmp_path_factory.mktemp("records")
    problem = make_problem()
    runs = {
        "energy": (make_energy(), {}, "lbfgs", {}),
        "red": (make_denoiser(sigma=0.05), {"lam": 0.5}, "gradient_descent", {"search": "fixed"}),
        "pnp": (make_denoiser(), {}, "hqs", {}),
    }
    for name, (prior, weight, solver, options) in runs.items():
        objective = fs.Analysis(problem, prior, **weight)
        fs.solve(objective, solver, max_iter=5, rtol=None, record=folder / f"{name}.h5", **options)
    return folder


def test_show_says_what_the_prior_is_and_that_f_has_no_value(records, capsys):
    assert main(["show", str(records / "red.h5")]) == 0
    out = capsys.readouterr().out
    assert "Smoother (denoiser at sigma 0.05, sha256" in " ".join(out.split())
    assert "F has no value, its fixed point is sought" in " ".join(out.split())
    assert "residual: first" in out and "nan" not in out
    assert main(["show", str(records / "energy.h5")]) == 0
    out = capsys.readouterr().out
    assert "roughness (energy, sha256" in out and "lowest" in out and "residual" not in out


def test_compare_and_report_take_all_of_them(records, capsys, tmp_path):
    pytest.importorskip("plotly")
    assert main(["compare", *(str(records / f"{n}.h5") for n in ("energy", "red", "pnp"))]) == 0
    assert "red" in capsys.readouterr().out
    assert main(["report", str(records), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_rerun_asks_for_the_prior(records, capsys):
    assert main(["rerun", str(records / "pnp.h5")]) == 2
    assert "the run's prior 'Smoother' cannot be loaded" in capsys.readouterr().err
    assert main(["rerun", str(records / "pnp.h5"), "--prior", "outside_priors:make_plain_denoiser"]) == 0
    assert "identical: 5 iterations" in capsys.readouterr().out
    assert main(["rerun", str(records / "red.h5"), "--prior", "outside_priors:make_plain_denoiser"]) == 2
    assert "prior: 'Smoother' has SHA-256" in capsys.readouterr().err
