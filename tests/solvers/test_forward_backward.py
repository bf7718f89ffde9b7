import dataclasses

import numpy as np
import pytest
import torch
from helpers import Quadratic, make_problem
from scipy.optimize import lsq_linear

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.functionals import Box, TotalVariation
from flowsolve.objectives import Evaluation, Split
from flowsolve.solvers import ForwardBackward


class Lasso(Quadratic):
    """½‖Bu − c‖² + weight ‖u‖₁ with one matrix for all images, split the usual way."""

    def __init__(self, matrix, centre, weight):
        super().__init__(torch.ones_like(centre), centre)
        self.matrix, self.weight = matrix, weight

    def select(self, index):
        other = Lasso(self.matrix, self.centre[index], self.weight)
        other.indices, other.tally = self.indices[np.asarray(index)], self.tally
        return other

    def split(self, name="auto"):
        def smooth(u, gradient=True):
            self.count("evaluations")
            residual = u @ self.matrix.T - self.centre
            value = 0.5 * residual.square().sum(1)
            return Evaluation(value, value.clone(), torch.zeros_like(value), u, residual @ self.matrix)

        def prox(v, tau):
            return v.sign() * (v.abs() - self.weight * tau[:, None]).clamp(min=0)

        def nonsmooth(u):
            return self.weight * u.abs().sum(1)

        def merge(u, evaluation):
            return dataclasses.replace(evaluation, value=evaluation.value + nonsmooth(u))

        return Split("auto", smooth, prox, nonsmooth, merge)


@pytest.fixture
def lasso():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(15, 30, generator=generator, dtype=torch.float64)
    return Lasso(matrix, torch.randn(2, 15, generator=generator, dtype=torch.float64), 2.0)


def run(solver, objective, u, iterations):
    state = solver.init(objective, u)
    values = [state.evaluation.value]
    for _ in range(iterations):
        state = solver.step(objective, state)
        values.append(state.evaluation.value)
    return state, torch.stack(values)


@pytest.mark.parametrize("momentum", ["chambolle-dossal", "fista", "none"])
def test_lasso_meets_its_optimality_conditions(momentum, lasso):
    solver = ForwardBackward(momentum=momentum)
    state, _ = run(
        solver, lasso, torch.zeros(2, 30, dtype=torch.float64), 3000 if momentum == "none" else 600
    )
    correlation = (lasso.centre - state.u @ lasso.matrix.T) @ lasso.matrix
    on = state.u.abs() > 1e-8
    assert on.any() and (~on).any()
    torch.testing.assert_close(correlation[on], 2.0 * state.u[on].sign(), rtol=1e-5, atol=1e-5)
    assert (correlation[~on].abs() <= 2.0 + 1e-5).all()


def test_classical_fista_has_its_rate(lasso):
    # F(u_k) − F* ≤ 2L‖u_0 − u*‖²/(k + 1)² (Beck & Teboulle, 2009, theorem 4.4).
    best, _ = run(ForwardBackward(), lasso, torch.zeros(2, 30, dtype=torch.float64), 2000)
    smoothness = torch.linalg.matrix_norm(lasso.matrix, 2) ** 2
    solver = ForwardBackward(
        momentum="fista", restart=False, monotone=False, growth=1.0, step_size=float(1 / smoothness)
    )
    _, values = run(solver, lasso, torch.zeros(2, 30, dtype=torch.float64), 100)
    k = torch.arange(1, 101, dtype=torch.float64)[:, None]
    bound = 2 * smoothness * best.u.square().sum(1) / (k + 1) ** 2
    assert (values[1:] - best.evaluation.value <= bound + 1e-9).all()


def test_monotone_values_never_rise_and_restart_helps(lasso):
    start = torch.zeros(2, 30, dtype=torch.float64)
    _, monotone = run(ForwardBackward(), lasso, start.clone(), 80)
    assert (monotone[1:] <= monotone[:-1]).all()
    _, plain = run(ForwardBackward(restart=False, monotone=False, growth=1.0), lasso, start.clone(), 80)
    assert (monotone[-1] <= plain[-1] + 1e-9).all()


def test_a_batch_takes_the_steps_its_images_take_alone(lasso):
    start = torch.zeros(2, 30, dtype=torch.float64)
    together, _ = run(ForwardBackward(), lasso, start.clone(), 20)
    for i in range(2):
        alone, _ = run(ForwardBackward(), lasso.select(torch.tensor([i])), start[i : i + 1].clone(), 20)
        torch.testing.assert_close(alone.u[0], together.u[i], rtol=1e-9, atol=1e-12)


def test_box_constrained_least_squares_agrees_with_scipy(lasso):
    class Boxed(Lasso):
        def split(self, name="auto"):
            box = Box(-0.1, 0.2)

            def merge(u, evaluation):
                return evaluation

            return dataclasses.replace(
                super().split(),
                prox=lambda v, tau: box.prox(v, tau),
                nonsmooth=lambda u: box.value(u),
                merge=merge,
            )

        def select(self, index):
            other = Boxed(self.matrix, self.centre[index], self.weight)
            other.indices, other.tally = self.indices[np.asarray(index)], self.tally
            return other

    objective = Boxed(lasso.matrix, lasso.centre, 0.0)
    # The start is outside the box: it must be moved in, not refused.
    state, _ = run(ForwardBackward(), objective, torch.full((2, 30), 7.0, dtype=torch.float64), 800)
    for i in range(2):
        theirs = lsq_linear(lasso.matrix.numpy(), lasso.centre[i].numpy(), bounds=(-0.1, 0.2), tol=1e-14)
        assert state.evaluation.value[i].item() == pytest.approx(theirs.cost, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_flow_prior_with_the_prox_of_the_data_term(sigma, tiny_prior):
    objective = fs.Analysis(make_problem(sigma=sigma), tiny_prior)
    u = objective.from_image(torch.full((3, 3, 8, 8), 0.5, dtype=torch.float64))
    state, values = run(ForwardBackward(), objective, u, 30)
    assert (values[-1] < values[0]).all() and torch.isfinite(values).all()
    torch.testing.assert_close(objective.value(state.u), state.evaluation.value)
    if sigma == 0:
        torch.testing.assert_close(objective.problem.operator.apply(state.u), objective.problem.y)


@pytest.mark.parametrize("extra", [Box(0.2, 0.8), TotalVariation(0.05)], ids=["box", "tv"])
def test_flow_prior_together_with_an_extra_term(extra, tiny_prior):
    objective = fs.Analysis(make_problem(), tiny_prior, extra=extra)
    state, values = run(ForwardBackward(), objective, torch.full((3, 3, 8, 8), 0.5, dtype=torch.float64), 25)
    assert (values[-1] < values[0]).all()
    torch.testing.assert_close(objective.value(state.u), state.evaluation.value)


def test_unknown_split_is_named(tiny_prior):
    objective = fs.Analysis(make_problem(), tiny_prior)
    with pytest.raises(ArgumentError, match="split: got 'dual'"):
        ForwardBackward(split="dual").init(objective, torch.zeros(3, 3, 8, 8, dtype=torch.float64))
