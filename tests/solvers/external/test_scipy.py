import numpy as np
import pytest
import torch
from helpers import Quadratic, make_problem
from scipy.optimize import minimize

import flowsolve as fs
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.functionals import Box, TotalVariation
from flowsolve.objectives import Evaluation
from flowsolve.solvers import make_solver, registry

NAMES = [name for name in registry if name.startswith("scipy:")]
NEWTON = [name for name in NAMES if make_solver(name).products]


class Rosenbrock(Quadratic):
    """The chained Rosenbrock function for each image."""

    def select(self, index):
        other = Rosenbrock(self.curvature[index], self.centre[index])
        other.indices, other.tally = self.indices[np.asarray(index)], self.tally
        return other

    def evaluate(self, u, *, gradient=True):
        self.count("evaluations")
        with torch.enable_grad():
            leaf = u.detach().clone().requires_grad_()
            value = (100 * (leaf[:, 1:] - leaf[:, :-1] ** 2) ** 2 + (1 - leaf[:, :-1]) ** 2).sum(1)
            (grad,) = torch.autograd.grad(value.sum(), leaf)
        value = value.detach()
        return Evaluation(value, value.clone(), torch.zeros_like(value), u, grad)


def rosenbrock(n=1):
    start = torch.full((n, 6), -1.2, dtype=torch.float64) + 0.3 * torch.arange(n)[:, None]
    return Rosenbrock(torch.ones(n, 6, dtype=torch.float64), torch.zeros(n, 6, dtype=torch.float64)), start


def directly(objective, start, method, **options):
    """Return iterates and result of SciPy on the first image of an objective."""
    alone, iterates = objective.select([0]), []

    def fun(v):
        evaluation = alone.evaluate(torch.as_tensor(v)[None])
        return float(evaluation.value), evaluation.grad[0].numpy().copy()

    def product(v, p):
        from flowsolve.solvers.external.hessian import hessian_product

        return hessian_product(alone, torch.as_tensor(v)[None], torch.as_tensor(p)[None])[0].numpy()

    hessp = product if f"scipy:{method}" in NEWTON else None
    result = minimize(
        fun,
        start[0].numpy(),
        jac=True,
        hessp=hessp,
        method=method,
        callback=lambda x: iterates.append(x.copy()),
        options=options,
    )
    return iterates, result


def run(solver, objective, start, most=200):
    """Return the iterates of each step, and the last state."""
    state, iterates = solver.init(objective, start.clone()), []
    for _ in range(most):
        state = solver.step(objective, state)
        iterates.append(state.u.clone())
        if all(state.ends()):
            break
    solver.close(state)
    return iterates, state


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", ["rosenbrock", "quadratic"])
def test_iterates_evaluations_and_end_are_those_of_scipy_called_directly(name, make, quadratic):
    objective, start = rosenbrock()
    if make == "quadratic":
        objective, start = quadratic.select([0]), torch.ones(1, 20, dtype=torch.float64)
        objective.indices, objective.tally = np.arange(1), type(quadratic.tally)(1)
    theirs, result = directly(objective, start, name.removeprefix("scipy:"))
    before = objective.tally.copy()["evaluations"].item()
    ours, state = run(make_solver(name), objective, start)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine[0].numpy(), other)
    assert state.ends() == ["converged" if result.success else "stalled"]
    spent = objective.tally.counts["evaluations"].item() - before
    if name not in NEWTON:
        assert spent == result.nfev
    else:
        # Products are two evaluations each; the rest is asked no more than once a point.
        assert spent <= before


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_images_alone(name):
    objective, start = rosenbrock(3)
    together, _ = run(make_solver(name), objective, start, most=12)
    for i in range(3):
        one = objective.select([i])
        one.indices, one.tally = np.arange(1), type(objective.tally)(1)
        alone, _ = run(make_solver(name), one, start[i : i + 1], most=len(together))
        for mine, other in zip(alone, together, strict=False):
            torch.testing.assert_close(mine[0], other[i], rtol=1e-9, atol=1e-12)
        assert one.tally.counts["evaluations"].item() == objective.tally.counts["evaluations"][i]


def test_options_are_passed_on():
    objective, start = rosenbrock()
    theirs, _ = directly(objective, start, "L-BFGS-B", maxcor=3)
    others, _ = directly(objective, start, "L-BFGS-B")
    ours, _ = run(make_solver("scipy:L-BFGS-B", maxcor=3), objective, start)
    np.testing.assert_array_equal(ours[-1][0].numpy(), theirs[-1])
    assert not np.array_equal(theirs[8], others[8])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scipy:L-BFGS-B", {"history": 3}, "got history; accepted: maxcor, ftol, gtol, maxls"),
        ("scipy:L-BFGS-B", {"maxcor": -1}, "maxcor: got -1"),
        ("scipy:CG", {"c1": 0.5}, r"c1, c2: got \(0.5, 0.4\)"),
        ("scipy:Newton-CG", {"c2": 2.0}, "c1, c2"),
        ("scipy:trust-ncg", {"eta": 0.3}, "eta.*< 0.25"),
        ("scipy:trust-krylov", {"initial_trust_radius": 2000.0}, "< 1000"),
        ("scipy:L-BFGSB", {}, "did you mean 'scipy:L-BFGS-B'"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        make_solver(name, **options)


def test_what_scipy_refuses_at_once_is_an_error_and_not_a_status():
    objective, start = rosenbrock()
    with pytest.raises(ArgumentError, match=r"options of solver 'scipy:L-BFGS-B'.*maxls must be positive"):
        run(make_solver("scipy:L-BFGS-B", maxls=0), objective, start)


def test_a_box_is_taken_as_bounds(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, extra=Box(0.3, 0.7), lam=0.01)
    result = fs.solve(objective, "scipy:L-BFGS-B", "zeros", max_iter=100, rtol=None, ftol=0.0, gtol=1e-7)
    assert result.x.min() >= 0.3 and result.x.max() <= 0.7
    assert (result.x == 0.3).any() and (result.x == 0.7).any()
    ours = fs.solve(objective, "forward_backward", "zeros", max_iter=250, rtol=1e-13)
    assert (result.value <= ours.value + 1e-6 * np.abs(ours.value)).all()


def test_extra_terms_are_refused_with_the_names_of_solvers_that_take_them(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, extra=TotalVariation(0.1))
    for name in NAMES:
        with pytest.raises(UnsupportedError, match=rf"{name}.*pyxu:CondatVu.*pyxu:PGD"):
            fs.solve(objective, name)


def test_the_hard_constraint_is_kept(tiny_prior):
    problem = make_problem(sigma=0.0)
    result = fs.solve(fs.Analysis(problem, tiny_prior), "scipy:L-BFGS-B", "adjoint", max_iter=10)
    torch.testing.assert_close(problem.operator(result.x), problem.y, rtol=0, atol=1e-12)
