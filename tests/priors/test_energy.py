"""An energy as a prior: values, gradients, solvers, records."""

import numpy as np
import pytest
import torch
from helpers import make_images, make_problem
from outside_priors import make_energy, roughness

import flowsolve as fs
from flowsolve.errors import ArgumentError, RecordError, UnsupportedError
from flowsolve.priors import EnergyPrior


def test_f_and_its_gradient_are_those_of_data_term_and_energy():
    problem, x = make_problem(), make_images() + 0.01
    objective = fs.Analysis(problem, make_energy(), lam=0.3)
    leaf = x.clone().requires_grad_()
    measured = problem.operator.apply(leaf) - problem.y
    expected = 0.5 * measured.square().flatten(1).sum(1) + 0.3 * roughness(leaf)
    value, grad = objective.value_and_grad(x)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), leaf)[0])


def test_map_is_the_variance_of_the_noise():
    assert fs.Analysis(make_problem(sigma=0.2), make_energy()).lam == pytest.approx(0.04)


def test_every_way_to_the_minimum_ends_at_the_same(tmp_path):
    objective = fs.Analysis(make_problem(), make_energy(), lam=0.01)
    lowest = fs.solve(objective, "lbfgs", max_iter=200, rtol=1e-12).value
    for solver in ("forward_backward", "nonlinear_cg"):
        found = fs.solve(objective, solver, max_iter=100, rtol=None).value
        np.testing.assert_allclose(found, lowest, rtol=2e-3, err_msg=solver)


def test_hard_constraint_and_prox_of_the_energy():
    problem = make_problem(sigma=0.0)
    result = fs.solve(fs.Analysis(problem, make_energy()), max_iter=60)
    np.testing.assert_allclose(problem.operator.apply(result.x), problem.y, atol=1e-12)
    objective = fs.Analysis(make_problem(), make_energy(), lam=0.01)
    assert set(objective.splits()) == {"prior", "data", "prior-prox"}
    result = fs.solve(objective, "forward_backward", split="prior-prox", max_iter=5, rtol=None)
    assert (np.diff(result.trace["value"], axis=0) <= 1e-12).all()


def test_a_network_is_frozen_copied_and_moved():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 1))
    prior = EnergyPrior(network, name="linear")
    before = prior.energy(torch.ones(2, 3, 8, 8))
    with torch.no_grad():
        network[1].weight.zero_()
    torch.testing.assert_close(prior.energy(torch.ones(2, 3, 8, 8)), before)
    assert prior.to(dtype=torch.float64).energy(torch.ones(2, 3, 8, 8).double()).dtype == torch.float64
    assert EnergyPrior(network).sha256 != prior.sha256 == prior.to(dtype=torch.float64).sha256


def test_record_rerun_resume_and_other_priors(tmp_path):
    objective, path = fs.Analysis(make_problem(), make_energy(), lam=0.01), tmp_path / "run.h5"
    fs.solve(objective, "lbfgs", max_iter=5, rtol=None, record=path)
    record = fs.open_run(path)
    assert record.config["prior"]["kind"] == "energy" and record.config["objective"]["phi"] == "energy"
    assert record.best["z"].shape == (3, 0)
    assert fs.rerun(path, prior=make_energy()).identical
    with pytest.raises(
        RecordError, match="prior: the run's prior 'roughness' cannot be loaded: no registered"
    ):
        fs.rerun(path)
    with pytest.raises(RecordError, match="prior: 'twice' has SHA-256"):
        fs.rerun(path, prior=EnergyPrior(lambda x: 2 * roughness(x), name="twice", dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnergyPrior(3), "g: got int"),
        (lambda: EnergyPrior(roughness, dtype=torch.int32), "dtype: got torch.int32"),
        (lambda: EnergyPrior(roughness, sha256="no"), "sha256: got 'no'"),
        (
            lambda: EnergyPrior(lambda x: x).energy(torch.zeros(2, 3, 8, 8)),
            r"g: got a function that returns shape",
        ),
        (lambda: fs.Analysis(make_problem(), make_energy(), phi="nll"), "phi: got 'nll'; accepted: 'energy'"),
        (
            lambda: fs.Analysis(make_problem(), make_energy(size=(4, 4))),
            r"operator: got images of shape \(3, 8, 8\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: fs.Synthesis(p, make_energy()),
        lambda p: fs.solve(fs.Analysis(p, make_energy()), init="zeros"),
        lambda p: fs.solve(fs.Analysis(p, make_energy()), "hybrid"),
        lambda p: fs.restore(p, make_energy()),
    ],
)
def test_latents_are_refused_where_there_are_none(ask, problem):
    with pytest.raises(UnsupportedError, match="latents"):
        ask(problem)
