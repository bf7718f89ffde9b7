"""The rates that theory promises, on ill-conditioned quadratics."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import Quadratic

from flowsolve.objectives import Split
from flowsolve.solvers import make_solver


class SmoothSplit(Quadratic):
    """A quadratic that forward-backward takes too, with nothing for its prox to do."""

    def split(self, name="auto"):
        return Split("auto", self.evaluate, lambda v, tau: v, lambda u: 0 * u.sum(1), lambda u, e: e)

    def evaluate(self, u, gradient=True):
        return dataclasses.replace(super().evaluate(u, gradient=gradient), image=u)


def values(solver, objective, iterations):
    state = solver.init(objective, torch.zeros_like(objective.centre))
    out = [state.evaluation.value[0].item()]
    for _ in range(iterations):
        state = solver.step(objective, state)
        out.append(state.evaluation.value[0].item())
    return np.array(out), state


def slope(curve, first, last):
    """Return d log F / d log k over iterations first..last."""
    k = np.arange(first, last + 1)
    return np.polyfit(np.log(k), np.log(curve[first : last + 1]), 1)[0]


@pytest.fixture
def flat():
    # With curvatures λ spread evenly and distances² 1/λ, F after k steps of 1/L is ½ Σ (1 − λ)²ᵏ: about 1/k,
    # until k reaches the condition number.
    curvature = torch.linspace(2e-4, 1, 5000, dtype=torch.float64)[None]
    return SmoothSplit(curvature, curvature.rsqrt())


def test_gradient_descent_goes_as_one_over_k_and_fista_as_one_over_k_squared(flat):
    gradient, _ = values(make_solver("gradient_descent", search="fixed", step_size=1.0), flat, 200)
    options = {"restart": False, "monotone": False, "growth": 1.0, "step_size": 1.0}
    fista, _ = values(make_solver("forward_backward", momentum="fista", **options), flat, 200)
    dossal, _ = values(make_solver("forward_backward", **options), flat, 200)
    assert slope(gradient, 20, 200) == pytest.approx(-1, abs=0.1)
    assert slope(fista, 20, 200) < -1.8
    assert slope(dossal, 20, 200) < -1.8
    # Accelerated methods go below the bound 2L‖u*‖²/(k + 1)² (Beck & Teboulle, 2009, theorem 4.4).
    k = np.arange(1, 201)
    assert (fista[1:] <= 2 * flat.centre.square().sum().item() / (k + 1) ** 2).all()


def test_fixed_momentum_reaches_polyaks_rate():
    # With optimal constants the distance contracts by (√κ − 1)/(√κ + 1) a step (Polyak, 1964).
    curvature = torch.linspace(0.01, 1, 50, dtype=torch.float64)[None]
    objective = Quadratic(curvature, torch.ones(1, 50, dtype=torch.float64))
    rate = (10 - 1) / (10 + 1)
    step = 4 / (1 + 0.1) ** 2
    solver = make_solver("momentum", beta=rate**2, search="fixed", step_size=step, restart=False)
    curve, _ = values(solver, objective, 150)
    assert (curve[150] / curve[50]) ** (1 / 200) == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize(
    ("name", "options"),
    [("lbfgs", {"curvature": 0.1}), ("nonlinear_cg", {"beta": "polak-ribiere"})]
    + [("nonlinear_cg", {"beta": beta}) for beta in ("hager-zhang", "dai-yuan")],
    ids=str,
)
def test_memory_makes_convergence_superlinear(name, options):
    # Twelve curvatures over four decades: conjugate directions end after as many exact steps.
    curvature = torch.logspace(0, 4, 12, dtype=torch.float64)[None]
    objective = Quadratic(curvature, torch.ones(1, 12, dtype=torch.float64))
    # A narrow curvature condition makes the searches nearly exact.
    solver = make_solver(name, **{**options, "curvature": 0.01})
    state = solver.init(objective, torch.zeros_like(objective.centre))
    norms = [state.grad_norm.item()]
    while norms[-1] > 1e-9 * norms[0] and len(norms) < 60:
        state = solver.step(objective, state)
        norms.append(state.grad_norm.item())
    # The best linear rate at this conditioning, 0.98 a step, would need 1 000 steps.
    assert norms[-1] <= 1e-9 * norms[0]
    third = len(norms) // 3
    early, late = norms[third] / norms[0], norms[-1] / norms[-1 - third]
    assert late < 0.1 * early
