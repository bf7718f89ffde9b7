import numpy as np
import pytest
import torch

from flowsolve.objectives import Evaluation
from flowsolve.solvers.searches import armijo, initial_step, strong_wolfe
from flowsolve.tally import Tally


class Curve:
    """An objective in one dimension, the same function for every image."""

    def __init__(self, f, n):
        self.f, self.indices, self.tally = f, np.arange(n), Tally(n)

    def __len__(self):
        return len(self.indices)

    def select(self, index):
        other = Curve(self.f, 0)
        other.indices, other.tally = self.indices[np.asarray(index)], self.tally
        return other

    def count(self, *names):
        self.tally.add(self.indices, *names)

    def evaluate(self, u, *, gradient=True):
        self.count("evaluations")
        leaf = u.detach().clone().requires_grad_()
        value = self.f(leaf[:, 0])
        (grad,) = torch.autograd.grad(value.sum(), leaf)
        value = value.detach()
        return Evaluation(value, value.clone(), torch.zeros_like(value), u, grad)


CURVES = {
    "quadratic": lambda t: (t - 1) ** 2,
    "steep wall": lambda t: torch.exp(4 * t) - 9 * t,
    "wavy": lambda t: 0.05 * torch.sin(9 * t) + (t - 2) ** 2 / 4,
    "quartic": lambda t: (t - 3) ** 4 / 50 - t,
}


@pytest.mark.parametrize("f", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("curvature", [0.1, 0.9])
def test_strong_wolfe_conditions_hold_from_any_first_step(f, curvature):
    steps = torch.tensor([1e-3, 0.1, 1.0, 30.0], dtype=torch.float64)
    curve, u = Curve(f, 4), torch.zeros(4, 1, dtype=torch.float64)
    start = curve.evaluate(u)
    direction = -start.grad
    found = strong_wolfe(curve, u, start, direction, steps, curvature=curvature, max_trials=40)
    slope0 = (start.grad * direction).sum(1)
    slope = (found.evaluation.grad * direction).sum(1)
    assert found.found.all()
    assert (found.evaluation.value <= start.value + 1e-4 * found.step * slope0).all()
    assert (slope.abs() <= curvature * slope0.abs() + 1e-12).all()
    torch.testing.assert_close(found.u, u + found.step[:, None] * direction)


def test_images_search_alone_and_pay_alone():
    curve, u = Curve(CURVES["quadratic"], 2), torch.zeros(2, 1, dtype=torch.float64)
    start = curve.evaluate(u)
    found = armijo(curve, u, start, -start.grad, torch.tensor([0.25, 1000.0], dtype=torch.float64))
    assert curve.tally.counts["trials"].tolist()[0] == 1
    assert curve.tally.counts["trials"].tolist()[1] > 1
    alone = Curve(CURVES["quadratic"], 1)
    one = armijo(
        alone, u[1:], alone.evaluate(u[1:]), -start.grad[1:], torch.tensor([1000.0], dtype=torch.float64)
    )
    torch.testing.assert_close(one.u, found.u[1:])


def test_an_uphill_direction_is_left_alone():
    curve, u = Curve(CURVES["quadratic"], 1), torch.zeros(1, 1, dtype=torch.float64)
    start = curve.evaluate(u)
    for search in (armijo, strong_wolfe):
        found = search(curve, u, start, start.grad, torch.ones(1, dtype=torch.float64))
        assert not found.found.any() and found.step.item() == 0
        torch.testing.assert_close(found.u, u)
        torch.testing.assert_close(found.evaluation.value, start.value)


@pytest.mark.parametrize("search", [armijo, strong_wolfe])
def test_non_finite_trials_shorten_the_step(search):
    def cliff(t):
        return torch.where(t < 1, (t - 0.5) ** 2, torch.full_like(t, torch.inf))

    curve, u = Curve(cliff, 1), torch.zeros(1, 1, dtype=torch.float64)
    start = curve.evaluate(u)
    found = search(curve, u, start, -start.grad, torch.tensor([1e4], dtype=torch.float64))
    assert found.found.all()
    assert torch.isfinite(found.evaluation.value).all() and found.evaluation.value < start.value


def test_initial_step_is_the_inverse_curvature_of_a_quadratic():
    curve = Curve(lambda t: 50 * (t - 1) ** 2, 1)
    u = torch.zeros(1, 1, dtype=torch.float64)
    step = initial_step(curve.evaluate, u, curve.evaluate(u))
    assert step.item() == pytest.approx(1 / 100, rel=1e-9)


def test_initial_step_is_finite_where_the_function_is_flat():
    curve = Curve(lambda t: 3 * t, 1)
    u = torch.zeros(1, 1, dtype=torch.float64)
    assert 0 < initial_step(curve.evaluate, u, curve.evaluate(u)).item() < np.inf
