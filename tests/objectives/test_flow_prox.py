import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve.objectives.base import inner
from flowsolve.objectives.flow_prox import flow_prox


@pytest.mark.parametrize("phi", ["latent", "nll"])
def test_with_many_iterations_the_prox_meets_its_optimality_condition(phi, tiny_prior):
    objective = fs.Analysis(make_problem(), tiny_prior, phi=phi, lam=0.02)
    v = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tau = torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    u = flow_prox(objective, v, tau, iterations=80)
    # u + τ ∇(lam φ)(u) = v; the data term has no part in it.
    leaf = u.clone().requires_grad_()
    (grad,) = torch.autograd.grad(0.02 * tiny_prior.energy(leaf, phi).sum(), leaf)
    torch.testing.assert_close(u + tau[:, None, None, None] * grad, v, rtol=0, atol=5e-4)


def test_few_iterations_gain_most_and_are_counted(tiny_prior):
    objective = fs.Analysis(make_problem(), tiny_prior, phi="latent", lam=0.02)
    v = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tau = torch.full((3,), 1.0, dtype=torch.float64)

    def model(u):
        away = u - v
        return 0.02 * tiny_prior.energy(u, "latent") + inner(away, away) / 2

    exact = model(flow_prox(objective, v, tau, iterations=80))
    before = objective.tally.counts["E"].copy()
    rough = model(flow_prox(objective, v, tau))
    assert (objective.tally.counts["E"] > before + 4).all()
    assert (rough - exact <= 0.05 * (model(v) - exact)).all()
