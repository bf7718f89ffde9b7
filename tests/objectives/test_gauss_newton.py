"""Gauss-Newton operators against explicit Jacobians and against the objectives' own values."""

import math

import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.fidelities import Huber, KullbackLeibler, WeightedLeastSquares
from flowsolve.functionals import Box
from flowsolve.objectives import GaussNewton

FORMULATIONS = (fs.Analysis, fs.Synthesis)
PHIS = ("latent", "nll", "typical")
SHAPE = (3, 8, 8)


def point(objective, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 0.5 * torch.randn(len(objective), objective.prior.n, generator=generator, dtype=torch.float64)
    return objective.from_latent(z)


def direction(u, seed=1):
    return torch.randn(u.shape, generator=torch.Generator().manual_seed(seed), dtype=u.dtype)


def typical(prior, z):
    """Return 2 J^T J of the residuals (||z_l||^2 - n_l) / sqrt(2 n_l)."""
    sizes = prior.latent_sizes

    def residuals(z):
        parts = zip(z.split(sizes), sizes, strict=True)
        return torch.stack([(part.square().sum() - n) / math.sqrt(2 * n) for part, n in parts])

    jacobian = torch.func.jacrev(residuals)(z)
    return 2 * jacobian.T @ jacobian


def explicit(objective, u):
    """Return H of every image as matrices (N, n, n), from dense Jacobians of D or E and of A."""
    operator, n = objective.problem.operator, objective.prior.n
    matrices = []
    for i in range(len(objective)):
        one = objective.select([i])
        a = torch.func.jacrev(one.problem.operator.apply)(torch.zeros(1, *SHAPE, dtype=u.dtype))
        a = a.reshape(-1, n)
        if isinstance(objective, fs.Synthesis):
            x = torch.func.jacrev(objective.prior.decode)(u[i]).reshape(n, n)
            z = torch.eye(n, dtype=u.dtype)
        else:
            x = torch.eye(n, dtype=u.dtype)
            if objective.constrained:
                x = torch.stack(
                    [operator.project_nullspace(e.reshape(1, *SHAPE)).flatten() for e in x], dim=1
                )
            image = objective.image(u)[i]
            z = torch.func.jacrev(objective.prior.encode)(image).reshape(n, n) @ x
        second = torch.func.hessian(lambda m, one=one: one.fidelity._terms(m, one.problem.y).sum())(
            one.problem.operator.apply(one.image(u[i : i + 1]))
        )
        second = second.reshape(a.shape[0], a.shape[0])
        data = 0 if objective.constrained else x.T @ a.T @ second @ a @ x
        energy = 2 * torch.eye(n, dtype=u.dtype)
        if objective.phi == "typical":
            energy = typical(objective.prior, objective.latent(u[i : i + 1])[0])
        matrices.append(data + one.weigh(z.T @ (energy @ z)[None])[0])
    return torch.stack(matrices)


CASES = {
    "mask": {},
    "blur": {"operator": ops.Blur.gaussian(1.0, dim_shape=SHAPE, boundary="zero")},
    "weights per image": {"lam": torch.tensor([0.02, 0.3], dtype=torch.float64)},
    "masks per image": {"operator": ops.Mask.random(missing=0.4, dim_shape=SHAPE, seed=1, n_images=2)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("phi", PHIS)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_product_equals_the_explicit_matrix(formulation, phi, case, tiny_prior):
    problem = make_problem(case.get("operator"), n=2)
    objective = formulation(problem, tiny_prior, phi=phi, lam=case.get("lam", 0.02))
    u = point(objective)
    v, operator = direction(u), GaussNewton(objective, u)
    expected = torch.einsum("kij,kj->ki", explicit(objective, u), v.flatten(1)).reshape(v.shape)
    torch.testing.assert_close(operator.matvec(v), expected, rtol=1e-9, atol=1e-9)
    # A second product uses the same records.
    torch.testing.assert_close(operator.matvec(2 * v), 2 * expected, rtol=1e-9, atol=1e-9)


def test_hard_constraint(tiny_prior):
    objective = fs.Analysis(make_problem(n=2, sigma=0), tiny_prior, phi="latent")
    assert objective.constrained
    u = point(objective) + 0.1
    v, operator = direction(u), GaussNewton(objective, u)
    expected = torch.einsum("kij,kj->ki", explicit(objective, u), v.flatten(1)).reshape(v.shape)
    torch.testing.assert_close(operator.matvec(v), expected, rtol=1e-9, atol=1e-9)
    measured = objective.problem.operator.apply(operator.matvec(v))
    torch.testing.assert_close(measured, torch.zeros_like(measured), rtol=0, atol=1e-10)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize(
    "fidelity",
    [WeightedLeastSquares(torch.linspace(0.5, 2, 192).reshape(SHAPE)), Huber(0.1), KullbackLeibler(0.2)],
    ids=["weighted", "huber", "poisson"],
)
def test_curvature_of_other_fidelities(formulation, fidelity, tiny_prior):
    problem = make_problem(n=2)
    problem = fs.InverseProblem(problem.operator, problem.y.abs(), sigma=0.05)
    objective = formulation(problem, tiny_prior, phi="latent", lam=0.02, fidelity=fidelity)
    u = objective.from_image(torch.full((2, *SHAPE), 0.5, dtype=torch.float64))
    v = direction(u)
    expected = torch.einsum("kij,kj->ki", explicit(objective, u), v.flatten(1)).reshape(v.shape)
    torch.testing.assert_close(GaussNewton(objective, u).matvec(v), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sigma", [0.0, 0.05])
@pytest.mark.parametrize("phi", PHIS)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_evaluation_is_the_objectives(formulation, phi, sigma, tiny_prior):
    objective = formulation(make_problem(sigma=sigma), tiny_prior, phi=phi)
    u = point(objective)
    expected, found = objective.evaluate(u), GaussNewton(objective, u).evaluation
    for name in ("value", "data_fidelity", "prior", "image", "grad"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_symmetric_positive_and_every_image_its_own(formulation, tiny_prior):
    problem = make_problem(ops.Mask.random(missing=0.4, dim_shape=SHAPE, seed=1, n_images=3))
    objective = formulation(problem, tiny_prior)
    u = point(objective)
    v, w, operator = direction(u), direction(u, 2), GaussNewton(objective, u)
    hv, hw = operator.matvec(v), operator.matvec(w)
    torch.testing.assert_close((hv * w).flatten(1).sum(1), (v * hw).flatten(1).sum(1))
    assert ((hv * v).flatten(1).sum(1) > 0).all()
    for i in range(3):
        alone = GaussNewton(objective.select([i]), u[i : i + 1]).matvec(v[i : i + 1])
        torch.testing.assert_close(alone[0], hv[i])


def test_model_decrease_is_exact_to_second_order_for_small_residuals(tiny_prior):
    """At a zero residual of the data and lam = 0 the Gauss-Newton model is the Taylor model."""
    truth = make_problem(n=2).x_true
    operator = ops.Blur.gaussian(0.7, dim_shape=SHAPE)
    problem = fs.InverseProblem(operator, operator.apply(truth), sigma=0.1)
    objective = fs.Synthesis(problem, tiny_prior, lam=0.0)
    u = objective.from_image(truth)
    model, v = GaussNewton(objective, u), direction(u)
    promised = model.model_decrease(1e-5 * v, model.matvec(1e-5 * v))
    found = objective.value(u) - objective.value(u + 1e-5 * v)
    torch.testing.assert_close(promised, found, rtol=1e-3, atol=0)


def test_costs_are_counted(tiny_prior, problem):
    objective = fs.Synthesis(problem, tiny_prior)
    operator = GaussNewton(objective, point(objective))
    assert operator.evaluation.grad is not None
    for seed in range(3):
        operator.matvec(direction(operator.u, seed))
    counts = {name: count[0] for name, count in objective.tally.counts.items() if count[0]}
    # One vjp for the gradient, one to record the reverse pass, one in each product.
    assert counts == {"evaluations": 1, "gradients": 1, "D": 1, "vjp_D": 5, "jvp_D": 3, "A": 4, "AT": 4}
    objective = fs.Analysis(problem, tiny_prior).select([1])
    GaussNewton(objective, point(objective)).matvec(direction(point(objective)))
    counts = {name: count.tolist() for name, count in objective.tally.counts.items() if count.any()}
    assert counts == {name: [0, 1, 0] for name in ("E", "jvp_E", "A", "AT")} | {"vjp_E": [0, 2, 0]}


def test_diagonal_estimate_approaches_the_diagonal(tiny_prior):
    objective = fs.Analysis(make_problem(n=2), tiny_prior, phi="latent", lam=0.01)
    u = point(objective)
    model, exact = GaussNewton(objective, u), explicit(objective, u)
    diagonal = exact.diagonal(dim1=1, dim2=2)
    off = (exact.square().sum(2) - diagonal.square()).clamp(min=0)
    error = (model.diagonal_estimate(64, seed=3).flatten(1) - diagonal).square().sum(1)
    # The expected squared error, summed over all rows, to within a factor.
    assert (error < 2 * off.sum(1) / 64).all() and (error > off.sum(1) / 64 / 2).all()
    assert torch.equal(model.diagonal_estimate(2, seed=5), model.diagonal_estimate(2, seed=5))


def test_float32_is_kept(tiny_prior):
    objective = fs.Synthesis(make_problem(), tiny_prior.to(dtype=torch.float32))
    u = point(objective)
    assert u.dtype == torch.float32
    model = GaussNewton(objective, u)
    assert model.matvec(u).dtype == model.diagonal_estimate(1).dtype == torch.float32
    assert model.evaluation.value.dtype == torch.float64


def test_refusals(tiny_prior, problem):
    with pytest.raises(UnsupportedError, match="GaussNewton: the objective has the extra term Box"):
        GaussNewton(fs.Analysis(problem, tiny_prior, lam=0.1, extra=Box(0, 1)), torch.zeros(3, *SHAPE))
    with pytest.raises(UnsupportedError, match=r"GaussNewton: Another with .* is not made of the squares"):
        GaussNewton(type("Another", (fs.Analysis,), {})(problem, tiny_prior), torch.zeros(3, *SHAPE))
    objective = fs.Analysis(problem, tiny_prior)
    with pytest.raises(ArgumentError, match="u: got shape"):
        GaussNewton(objective, torch.zeros(2, *SHAPE, dtype=torch.float64))
    model = GaussNewton(objective, point(objective))
    with pytest.raises(ArgumentError, match="v: got shape"):
        model.matvec(torch.zeros(2, *SHAPE, dtype=torch.float64))
    with pytest.raises(ArgumentError, match="samples: got 0"):
        model.diagonal_estimate(0)
