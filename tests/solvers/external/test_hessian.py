import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve.fidelities import Huber
from flowsolve.solvers.external.hessian import _central_difference, hessian_product


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
@pytest.mark.parametrize("phi", ["nll", "latent", "typical"])
@pytest.mark.parametrize("options", [{}, {"fidelity": Huber(0.05), "lam": 0.01}], ids=["squares", "huber"])
def test_exact_products_agree_with_differences_of_gradients(formulation, phi, options, tiny_prior, problem):
    objective = formulation(problem, tiny_prior, phi=phi, **options)
    check(objective)


def test_the_hard_constraint_has_exact_products_too(tiny_prior):
    check(fs.Analysis(make_problem(sigma=0.0), tiny_prior))


def check(objective):
    generator = torch.Generator().manual_seed(1)
    u, v = (
        torch.randn(3, *objective.variable_shape, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    exact = hessian_product(objective, u, v)
    assert exact.dtype == u.dtype and exact.shape == u.shape and not exact.requires_grad
    # A small step: the flow is smooth only piece by piece.
    h = 1e-6
    grads = [objective.evaluate(u + s * h * v).grad for s in (1, -1)]
    torch.testing.assert_close(exact, (grads[0] - grads[1]) / (2 * h), rtol=1e-4, atol=1e-4)


def test_both_count_as_two_evaluations(tiny_prior, problem, quadratic):
    objective = fs.Synthesis(problem, tiny_prior)
    u = torch.zeros(3, tiny_prior.n, dtype=torch.float64)
    hessian_product(objective, u, u + 1)
    assert objective.tally.counts["evaluations"].tolist() == [2, 2, 2]
    assert objective.tally.counts["D"].tolist() == [1, 1, 1]
    u = torch.ones(3, 20, dtype=torch.float64)
    product = hessian_product(quadratic, u, 2 * u)
    torch.testing.assert_close(product, 2 * quadratic.curvature, rtol=1e-7, atol=1e-6)
    assert quadratic.tally.counts["evaluations"].tolist() == [2, 2, 2]
    assert (_central_difference(quadratic, u, 0 * u) == 0).all()


def test_what_changes_the_objective_gets_differences(tiny_prior, problem):
    class Shifted(fs.Analysis):
        def evaluate(self, u, *, gradient=True):
            evaluation = super().evaluate(u, gradient=gradient)
            evaluation.grad = evaluation.grad + 3 * u
            return evaluation

    u = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain, other = (cls(problem, tiny_prior, phi="latent", lam=0.0) for cls in (fs.Analysis, Shifted))
    v = torch.ones_like(u)
    change = hessian_product(other, u, v) - hessian_product(plain, u, v)
    torch.testing.assert_close(change, 3 * v, rtol=1e-6, atol=1e-6)
