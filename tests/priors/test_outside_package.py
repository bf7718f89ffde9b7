"""Priors of a package outside: found by entry points, run, recorded and repeated by name."""

import sys
import textwrap

import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve.errors import RecordError
from flowsolve.flows.zoo import PRIORS
from flowsolve.priors import assert_prior_conforms, terms

ENTRY_POINTS = """
[flowsolve.priors]
own-flow = own_priors:own_flow
own-energy = own_priors:own_energy
own-denoiser = own_priors:own_denoiser

[flowsolve.prior_terms]
softened = own_priors:Softened
"""

MODULE = '''
import outside_priors
import torch

from flowsolve.priors import LatentTerm


def own_flow(*, device="cpu", dtype=torch.float32):
    """A RealNVP of normflows."""
    return outside_priors.make_realnvp(dtype, device=device, name="own-flow")


def own_energy(*, device="cpu", dtype=torch.float32):
    """The roughness of images."""
    return outside_priors.make_energy(dtype, device=device, name="own-energy")


def own_denoiser(*, device="cpu", dtype=torch.float32):
    """A smoother."""
    return outside_priors.make_denoiser(dtype, device=device, name="own-denoiser", sigma=0.05)


class Softened(LatentTerm):
    """Sum of log(1 + z²)."""

    name = "softened"

    def value(self, z, sizes):
        return z.square().log1p().sum(-1, dtype=torch.float64)
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Lay out the package where Python and its entry points find it, for one test."""
    (tmp_path / "own_priors.py").write_text(MODULE)
    folder = tmp_path / "own_priors-0.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own-priors\nVersion: 0.1\n")
    (folder / "entry_points.txt").write_text(textwrap.dedent(ENTRY_POINTS))
    monkeypatch.syspath_prepend(str(tmp_path))
    for registry in (PRIORS, terms.registry):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
        monkeypatch.setattr(registry, "_entry_points_read", False)
    yield tmp_path
    sys.modules.pop("own_priors", None)


RUNS = [
    ("own-flow", fs.Analysis, "nll", "lbfgs", {}),
    ("own-flow", fs.Synthesis, "latent", "lbfgs", {}),
    ("own-flow", fs.Analysis, "softened", "hybrid", {"probe": 3, "patience": 3, "window": 2}),
    ("own-energy", fs.Analysis, None, "lbfgs", {}),
    ("own-denoiser", fs.Analysis, "red", "gradient_descent", {"search": "fixed", "step_size": 0.5}),
    ("own-denoiser", fs.Analysis, "pnp", "hqs", {}),
]


@pytest.mark.parametrize(("name", "kind", "phi", "solver", "options"), RUNS)
def test_runs_are_recorded_and_repeated_by_name_alone(package, name, kind, phi, solver, options):
    if name == "own-flow":
        pytest.importorskip("normflows", reason="normflows is not installed")
    prior = fs.load_prior(name, dtype=torch.float64)
    objective, path = kind(make_problem(), prior, phi=phi, lam=0.01), package / "run.h5"
    result = fs.solve(objective, solver, max_iter=6, rtol=None, record=path, **options)
    repetition = fs.rerun(path)
    assert repetition.identical and repetition.iterations == (6, 6)
    torch.testing.assert_close(repetition.result.x, result.x, atol=0, rtol=0)
    steps = list(fs.iterate(objective, solver, max_iter=2, rtol=None, **options))
    assert len(steps) == 2 and steps[-1].x.shape == (3, 3, 8, 8)


def test_they_conform_and_are_listed(package):
    pytest.importorskip("normflows", reason="normflows is not installed")
    assert fs.list_priors()["own-energy"] == "The roughness of images."
    for name in ("own-flow", "own-energy", "own-denoiser"):
        assert_prior_conforms(fs.load_prior(name))


def test_a_record_whose_package_is_gone_says_what_to_give(package, monkeypatch):
    path = package / "run.h5"
    objective = fs.Analysis(make_problem(), fs.load_prior("own-energy", dtype=torch.float64), lam=0.01)
    fs.solve(objective, "lbfgs", max_iter=2, record=path)
    monkeypatch.setattr(PRIORS, "_items", {k: v for k, v in PRIORS._items.items() if not k.startswith("own")})
    with pytest.raises(RecordError, match=r"'own-energy' cannot be loaded.*give the prior or its file"):
        fs.rerun(path)
