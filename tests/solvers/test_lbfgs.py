import numpy as np
import pytest
import torch
from helpers import Quadratic
from scipy.optimize import minimize

import flowsolve as fs
from flowsolve.objectives import Evaluation
from flowsolve.solvers import LBFGS
from flowsolve.solvers.lbfgs import usual_history
from flowsolve.solvers.units import Units, root_spectrum


class Rosenbrock(Quadratic):
    """The chained Rosenbrock function for each image."""

    def select(self, index):
        other = Rosenbrock(self.curvature[index], self.centre[index])
        other.indices, other.tally = self.indices[np.asarray(index)], self.tally
        return other

    def evaluate(self, u, *, gradient=True):
        self.count("evaluations")
        leaf = u.detach().clone().requires_grad_()
        value = (100 * (leaf[:, 1:] - leaf[:, :-1] ** 2) ** 2 + (1 - leaf[:, :-1]) ** 2).sum(1)
        (grad,) = torch.autograd.grad(value.sum(), leaf)
        value = value.detach()
        return Evaluation(value, value.clone(), torch.zeros_like(value), u, grad)


def test_converges_superlinearly_on_a_quadratic(quadratic):
    solver = LBFGS(history=20, curvature=0.1)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    start = state.grad_norm
    for _ in range(60):
        state = solver.step(quadratic, state)
    # The best rate of gradient descent at the last image's conditioning (8 000) would leave 97 %.
    assert (state.grad_norm < 1e-10 * start).all()
    torch.testing.assert_close(state.u, quadratic.centre, rtol=0, atol=1e-7)


def test_no_slower_than_scipy_on_a_quadratic(quadratic):
    solver = LBFGS(history=20)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    ours = torch.full((3,), torch.inf, dtype=torch.float64)
    for _ in range(600):
        state = solver.step(quadratic, state)
        spent = torch.as_tensor(quadratic.tally.counts["evaluations"]).double()
        ours = torch.where((state.grad_norm < 1e-6) & torch.isinf(ours), spent, ours)
    for i in range(3):
        c, m = quadratic.curvature[i].numpy(), quadratic.centre[i].numpy()
        theirs = minimize(
            lambda v, c=c, m=m: (0.5 * (c * (v - m) ** 2).sum(), c * (v - m)),
            np.ones(20),
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 20, "ftol": 1e-30, "gtol": 1e-6 / np.sqrt(20)},
        )
        assert ours[i] <= 1.2 * theirs.nfev


def test_direction_is_that_of_the_two_loop_recursion(quadratic):
    solver = LBFGS(history=4)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    pairs = []
    for _ in range(7):
        before_u, before_g = state.u.clone(), state.evaluation.grad.clone()
        state = solver.step(quadratic, state)
        pairs.append((state.u - before_u, state.evaluation.grad - before_g))
    grad = state.evaluation.grad
    expected = []
    for i in range(3):
        q, alphas = grad[i].clone(), []
        recent = [(s[i], y[i]) for s, y in pairs[-4:]]
        for s, y in reversed(recent):
            alpha = (s @ q) / (s @ y)
            q = q - alpha * y
            alphas.append(alpha)
        s, y = recent[-1]
        q = q * (s @ y) / (y @ y)
        for (s, y), alpha in zip(recent, reversed(alphas), strict=True):
            q = q + (alpha - (y @ q) / (s @ y)) * s
        expected.append(-q)
    torch.testing.assert_close(-state.curvature.multiply(grad), torch.stack(expected), rtol=1e-8, atol=1e-12)


def test_rosenbrock_is_solved_in_about_as_many_evaluations_as_scipy_takes():
    objective = Rosenbrock(torch.ones(2, 10, dtype=torch.float64), torch.zeros(2, 10, dtype=torch.float64))
    start = torch.full((2, 10), -1.2, dtype=torch.float64)
    start[1] = 0.0
    solver = LBFGS(history=10)
    state = solver.init(objective, start.clone())
    for _ in range(400):
        state = solver.step(objective, state)
        if (state.evaluation.value < 1e-12).all() or state.failed.all():
            break

    def fun(v):
        leaf = torch.tensor(v, dtype=torch.float64, requires_grad=True)
        value = (100 * (leaf[1:] - leaf[:-1] ** 2) ** 2 + (1 - leaf[:-1]) ** 2).sum()
        value.backward()
        return value.item(), leaf.grad.numpy()

    for i in range(2):
        theirs = minimize(
            fun, start[i].numpy(), jac=True, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-10}
        )
        # Either may end in the chained function's second stationary point: ours must not be the worse one.
        assert state.evaluation.value[i].item() <= theirs.fun + 1e-8
        assert objective.tally.counts["evaluations"][i] <= 3 * theirs.nfev


def test_values_never_rise(quadratic):
    solver = LBFGS()
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    for _ in range(30):
        new = solver.step(quadratic, state)
        assert (new.evaluation.value <= state.evaluation.value).all()
        state = new


@pytest.mark.parametrize("history", [1, 3])
def test_a_ring_smaller_than_the_run_keeps_the_latest_pairs(history, quadratic):
    solver = LBFGS(history=history)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    for k in range(1, 8):
        state = solver.step(quadratic, state)
        assert state.used.tolist() == [min(k, history)] * 3
        assert state.head.tolist() == [k % history] * 3


def test_the_usual_memory_is_bounded_for_large_images():
    sizes = {64: 100, 128: 85, 256: 21, 1024: 20}
    for side, pairs in sizes.items():
        assert usual_history(torch.empty(1, 3, 1, 1).expand(1, 3, side, side)) == pairs
    assert usual_history(torch.empty(2, 128 * 128 * 3, dtype=torch.float64)) == 42


def test_products_do_not_depend_on_the_batch_nor_on_what_was_forgotten(quadratic):
    solver = LBFGS(history=4)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    for _ in range(6):
        state = solver.step(quadratic, state)
    state.used[:] = torch.tensor([0, 2, 4])
    grad = state.evaluation.grad
    together = state.curvature.multiply(grad)
    torch.testing.assert_close(together[0], grad[0])
    for i in range(3):
        alone = state.select(torch.tensor([i])).curvature.multiply(grad[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=1e-12, atol=1e-14)
    forgotten = state.select(torch.tensor([1]))
    for back in (3, 4):
        forgotten.pairs[0, (forgotten.head[0] - back) % 4] = 7.0
        forgotten.gram[0, (forgotten.head[0] - back) % 4] = 7.0
    again = forgotten.curvature.multiply(grad[1:2])[0]
    torch.testing.assert_close(again, together[1], rtol=1e-12, atol=1e-14)


def test_a_failed_search_empties_the_memory_before_giving_up(quadratic):
    solver = LBFGS(history=20, max_trials=1)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    state = solver.step(quadratic, state)
    assert (state.used > 0).any()
    # Wrong curvature in the memory makes the first trial fail.
    state.gram *= 1e-12
    state.gram[:, solver.history :, :] *= 1e-6
    state.gram[:, :, solver.history :] *= 1e-6
    again = solver.step(quadratic, state)
    assert not again.failed.any()


class InUnits(Quadratic):
    """Another objective over v, its variable being S v."""

    def __init__(self, objective, units):
        self.objective, self.units = objective, units
        self.indices, self.tally = objective.indices, objective.tally

    def __len__(self):
        return len(self.objective)

    def select(self, index):
        return InUnits(self.objective.select(index), self.units)

    def evaluate(self, u, *, gradient=True):
        inner = self.objective.evaluate(self.units.apply(u))
        return Evaluation(
            inner.value, inner.data_fidelity, inner.prior, inner.image, self.units.apply(inner.grad)
        )


def test_spectral_units_are_a_change_of_variable(problem, tiny_prior):
    objective = fs.Analysis(problem, tiny_prior)
    u = problem.y.clone()
    units = Units(root_spectrum(u), spectral=True)
    # The first trial, which the search would measure in its own units, is given.
    ours, plain = (LBFGS(scaling=scaling, step_size=1e-3) for scaling in ("spectral", "none"))
    state = ours.init(objective, u)
    other = InUnits(objective, units)
    reference = plain.init(other, units.inverse(u))
    for _ in range(6):
        state, reference = ours.step(objective, state), plain.step(other, reference)
    torch.testing.assert_close(state.u, units.apply(reference.u), rtol=0, atol=1e-6)
