import itertools

import pytest
import torch

import flowsolve as fs
from flowsolve.errors import UnsupportedError
from flowsolve.solvers import Adam
from flowsolve.solvers.units import from_cosines, to_cosines


class _InCosines:
    """An objective as a function of its variable's cosine transform."""

    def __init__(self, objective):
        self.objective, self.name = objective, objective.name

    def require_smooth(self, who):
        pass

    def evaluate(self, c):
        evaluation = self.objective.evaluate(from_cosines(c))
        evaluation.grad = to_cosines(evaluation.grad)
        return evaluation


def test_the_basis_of_cosines_is_a_change_of_variable(problem, tiny_prior):
    objective = fs.Analysis(problem, tiny_prior)
    u = problem.operator.adjoint(problem.y)
    ours, plain = Adam(basis="cosines"), Adam()
    turned = _InCosines(objective)
    a, b = ours.init(objective, u), plain.init(turned, to_cosines(u))
    for _ in range(5):
        a, b = ours.step(objective, a), plain.step(turned, b)
    torch.testing.assert_close(a.u, from_cosines(b.u), rtol=1e-9, atol=1e-11)
    # Which coordinates Adam scales is not without effect.
    pixels = plain.step(objective, plain.init(objective, u))
    assert not torch.allclose(pixels.u, ours.step(objective, ours.init(objective, u)).u)


def test_the_basis_of_cosines_is_for_images(problem, tiny_prior):
    with pytest.raises(UnsupportedError, match="basis: 'cosines' is for images; over latents"):
        fs.solve(fs.Synthesis(problem, tiny_prior), "adam", "zeros", basis="cosines", max_iter=1)


@pytest.mark.parametrize("lr", [0.05, None])
def test_steps_are_those_of_torch(lr, quadratic):
    # The objective calls itself analysis, for which the default learning rate is 0.01.
    start = torch.ones(3, 20, dtype=torch.float64)
    parameter = start.clone().requires_grad_()
    reference = torch.optim.Adam([parameter], lr=lr or 0.01)
    solver = Adam(lr=lr)
    state = solver.init(quadratic, start)
    for _ in range(25):
        parameter.grad = quadratic.curvature * (parameter.detach() - quadratic.centre)
        reference.step()
        state = solver.step(quadratic, state)
    torch.testing.assert_close(state.u, parameter.detach(), rtol=1e-9, atol=1e-12)


def test_cosine_schedule_ends_at_a_hundredth(quadratic):
    solver = Adam(lr=0.1, schedule="cosine", horizon=10)
    state = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    rates = []
    for _ in range(12):
        state = solver.step(quadratic, state)
        rates.append(state.step[0].item())
    assert rates[4] == pytest.approx(0.1 * (0.01 + 0.99 * 0.5))
    assert rates[9] == rates[11] == pytest.approx(0.001)
    assert all(a >= b for a, b in itertools.pairwise(rates))


def test_latents_get_the_papers_learning_rate(quadratic):
    quadratic.name = "synthesis"
    state = Adam().init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    assert Adam().step(quadratic, state).step.tolist() == [0.1] * 3
