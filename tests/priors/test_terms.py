"""A prior term of one's own is one class and one registration, and then works wherever a name does."""

import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.methods import Method
from flowsolve.methods.stage import Stage
from flowsolve.objectives import GaussNewton
from flowsolve.priors import LatentTerm, register_prior_term
from flowsolve.priors.terms import registry


@pytest.fixture
def spread(monkeypatch):
    """Register a smooth Σ|z| for one test."""
    monkeypatch.setattr(registry, "_items", dict(registry._items))

    @register_prior_term("spread")
    class Spread(LatentTerm):
        """Sum of √(z² + 0.01)."""

        def value(self, z, sizes):
            return (z.square() + 0.01).sqrt().sum(-1, dtype=torch.float64)

    return Spread


@pytest.mark.parametrize("kind", [fs.Analysis, fs.Synthesis])
def test_it_is_a_name_for_objectives_solvers_and_records(kind, spread, tiny_prior, tmp_path):
    objective, path = kind(make_problem(), tiny_prior, phi="spread", lam=0.01), tmp_path / "run.h5"
    assert objective.phi == "spread" and "spread" in kind.phis()
    for solver in ("lbfgs", "hybrid", "scipy:Newton-CG"):
        result = fs.solve(objective, solver, max_iter=4, rtol=None)
        assert (result.value < result.trace["value"][0]).all(), solver
    fs.solve(objective, "adam", max_iter=3, rtol=None, record=path)
    assert fs.open_run(path).config["objective"]["phi"] == "spread"
    assert fs.rerun(path, prior=tiny_prior).identical


def test_f_is_the_same_in_both_spaces_and_has_the_right_gradient(spread, tiny_prior):
    analysis = fs.Analysis(make_problem(), tiny_prior, phi="spread", lam=0.01)
    z = tiny_prior.encode(make_problem().x_true)
    np.testing.assert_allclose(analysis.counterpart().value(z), analysis.value(tiny_prior.decode(z)))
    x, v = make_problem().x_true, torch.randn(3, 3, 8, 8, dtype=torch.float64)
    _, grad = analysis.value_and_grad(x)
    slope = (analysis.value(x + 1e-6 * v) - analysis.value(x - 1e-6 * v)) / 2e-6
    np.testing.assert_allclose((grad * v).flatten(1).sum(1), slope, rtol=1e-5)
    assert tiny_prior.energy(x, "spread").shape == (3,)


def test_what_needs_a_prox_or_a_curvature_says_so(spread, tiny_prior):
    synthesis = fs.Synthesis(make_problem(), tiny_prior, phi="spread")
    with pytest.raises(UnsupportedError, match="no proximal split"):
        fs.solve(synthesis, "forward_backward")
    with pytest.raises(UnsupportedError, match="GaussNewton: Synthesis with phi='spread'"):
        GaussNewton(synthesis, torch.zeros(3, tiny_prior.n, dtype=torch.float64))


def test_methods_take_it_too(spread, tiny_prior):
    method = Method("own", (Stage(phi="spread", solver="lbfgs", init="adjoint", max_iter=2),), "")
    assert fs.restore(make_problem(), tiny_prior, method).x.shape == (3, 3, 8, 8)


def test_names_that_are_no_terms():
    with pytest.raises(ArgumentError, match="phi: got 'spread'; accepted: 'latent' or 'nll' or 'typical'"):
        Stage(phi="spread")
    with pytest.raises(ArgumentError, match="name: got 'nll'"):
        register_prior_term("nll")(LatentTerm)
