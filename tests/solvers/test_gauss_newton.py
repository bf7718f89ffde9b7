import pytest
import torch

import flowsolve as fs
from flowsolve.errors import UnsupportedError
from flowsolve.functionals import Box
from flowsolve.solvers import GaussNewton
from flowsolve.solvers.conformance import run
from flowsolve.solvers.conformance_problems import make_objective, make_problem, make_start


def test_few_iterations_do_what_lbfgs_needs_many_for():
    ours = run(GaussNewton(), make_objective("synthesis"), 8)
    theirs = run(fs.solvers.LBFGS(), make_objective("synthesis"), 60)
    assert (ours.value <= theirs.value * (1 + 1e-4)).all()


@pytest.mark.parametrize("search", ["levenberg-marquardt", "trust-region"])
@pytest.mark.parametrize("formulation", ["analysis", "synthesis"])
def test_values_never_rise_and_a_wild_start_is_tamed(search, formulation):
    wild = {"damping": 1e-12} if search == "levenberg-marquardt" else {"radius": 1e3}
    result = run(GaussNewton(search=search, **wild), make_objective(formulation), 8)
    values = result.trace["value"]
    assert (values[1:] <= values[:-1]).all() and (values[-1] < values[0]).all()


def test_a_rejected_step_costs_one_evaluation_and_no_product():
    objective = make_objective("synthesis")
    solver = GaussNewton(search="trust-region", radius=1e3)
    state = solver.init(objective, make_start(objective))
    # A radius far beyond the model's validity: larger moves are tried first.
    before = {name: values.copy() for name, values in objective.tally.counts.items()}
    state = solver.step(objective, state)
    spent = {name: values - before[name] for name, values in objective.tally.counts.items()}
    assert (spent["jvp_D"] <= solver.cg_iterations).all()
    assert (spent["evaluations"] == spent["trials"]).all()


def test_forcing_terms_tighten_as_the_gradient_falls():
    objective = make_objective("synthesis")
    solver = GaussNewton()
    state = solver.init(objective, make_start(objective))
    assert (state.forcing == 0.5).all()
    for _ in range(5):
        state = solver.step(objective, state)
    assert (state.forcing < 0.5).all()


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_the_density_and_the_hard_constraint_are_taken_too(sigma):
    problem = make_problem()
    problem.sigma = sigma
    prior = make_objective("analysis").prior
    objective = fs.Analysis(problem, prior, phi="nll")
    assert objective.constrained == (sigma == 0)
    result = run(GaussNewton(cg_iterations=8), objective, 6)
    reference = run(fs.solvers.LBFGS(), objective, 60)
    start = result.trace["value"][0]
    # The dropped curvature of the log-determinant slows the end, not the start.
    assert (start - result.value >= 0.9 * (start - reference.value)).all()


def test_an_extra_term_is_refused():
    problem, prior = make_problem(), make_objective("analysis").prior
    objective = fs.Analysis(problem, prior, lam=0.1, extra=Box())
    with pytest.raises(UnsupportedError, match=r"gauss_newton.*forward_backward"):
        GaussNewton().init(objective, make_start(objective))


def test_the_running_diagonal_is_that_of_the_model():
    objective = make_objective("synthesis")
    solver = GaussNewton(preconditioner="diagonal", cg_iterations=2)
    state = solver.init(objective, make_start(objective))
    assert state.diagonal.shape == (3, 192) and state.pairs.shape[1] == 0
    for _ in range(4):
        state = solver.step(objective, state)
    assert (state.diagonal > 0).all() and (state.taken == 4).all()
    # H holds 2 lam everywhere.
    assert (state.diagonal.mean(1) > 2 * objective.weight).all()
    assert torch.isfinite(state.u).all()
