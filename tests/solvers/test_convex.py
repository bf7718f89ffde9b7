"""Convex problems with known answers: least squares, Tikhonov, LASSO, total variation."""

import numpy as np
import pytest
import torch
from helpers import make_images
from scipy.optimize import minimize

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.flows import FlowPrior, Glow, GlowConfig
from flowsolve.functionals import PyxuFunctional, TotalVariation
from flowsolve.solvers.conformance import run

SHAPE, N = (3, 4, 4), 48
LAM = 0.02

#: Solver, options, and iterations enough for a relative accuracy of 1e-6.
WAYS = {
    "gradient descent": ("gradient_descent", {"memory": 5}, 400),
    "alternating": ("gradient_descent", {"spectral": "alternating"}, 300),
    "armijo": ("gradient_descent", {"search": "armijo"}, 600),
    "heavy ball": ("momentum", {}, 300),
    "nesterov": ("momentum", {"variant": "nesterov"}, 300),
    "PR+": ("nonlinear_cg", {"beta": "polak-ribiere"}, 60),
    "Hager-Zhang": ("nonlinear_cg", {"beta": "hager-zhang"}, 60),
    "Dai-Yuan": ("nonlinear_cg", {"beta": "dai-yuan"}, 60),
    "L-BFGS": ("lbfgs", {}, 80),
    "L-BFGS trust region": ("lbfgs", {"search": "trust-region"}, 80),
    "L-BFGS armijo": ("lbfgs", {"search": "armijo"}, 80),
    "Levenberg-Marquardt": ("gauss_newton", {}, 20),
    "GN trust region": ("gauss_newton", {"search": "trust-region"}, 20),
    "GN line search": ("gauss_newton", {"search": "strong-wolfe"}, 20),
    "GN diagonal": ("gauss_newton", {"preconditioner": "diagonal"}, 25),
    "GN L-BFGS": ("gauss_newton", {"preconditioner": "lbfgs"}, 20),
    "forward-backward": ("forward_backward", {}, 150),
    "forward-backward data": ("forward_backward", {"split": "data"}, 300),
    "forward-backward flow": ("forward_backward", {"split": "flow"}, 60),
    "FISTA": ("forward_backward", {"momentum": "fista"}, 200),
}


@pytest.fixture(scope="module")
def affine():
    """Return an untrained prior: its couplings do nothing, so that E(x) = W x + b, with W ill-conditioned."""
    glow = Glow(GlowConfig(channels=3, image_size=4, levels=1, steps=2, hidden=4), seed=0).double()
    prior = FlowPrior(glow, name="affine", dtype=torch.float64)
    x, v = torch.rand(2, *SHAPE, dtype=torch.float64), torch.rand(2, *SHAPE, dtype=torch.float64)
    curved = prior.encode(x + v) - prior.encode(x) - prior.encode(v) + prior.encode(torch.zeros_like(x))
    assert curved.abs().max() < 1e-9
    return prior


def make_curved():
    """Return a small prior whose couplings do something."""
    glow = Glow(GlowConfig(channels=3, image_size=4, levels=1, steps=2, hidden=4), seed=0).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return FlowPrior(glow, name="curved", dtype=torch.float64)


def make_problem(operator, n=2):
    y = fs.degrade(operator, make_images(n, size=4), sigma=0.05, seed=0)
    return fs.InverseProblem(operator, y, sigma=0.05)


def dense(operator):
    """Return the operator's matrix."""
    columns = operator.apply(torch.eye(N, dtype=torch.float64).reshape(N, *SHAPE))
    return columns.reshape(N, -1).T


def tikhonov(problem, prior, lam):
    """Return the minimisers of ½‖Ax − y‖² + lam ‖Wx + b‖² by dense algebra."""
    a, y = dense(problem.operator), problem.y.flatten(1)
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    b = prior.encode(zero)[0]
    w = torch.func.jacrev(lambda x: prior.encode(x)[0])(zero).reshape(N, N)
    rhs = y @ a - 2 * lam * (b @ w)
    return torch.linalg.solve(a.T @ a + 2 * lam * w.T @ w, rhs.T).T.reshape(-1, *SHAPE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_tikhonov_is_solved_to_a_millionth(way, formulation, affine):
    name, options, iterations = WAYS[way]
    if formulation is fs.Synthesis and "split" in options:
        options = {**options, "split": "latent"}
    problem = make_problem(ops.Mask.random(missing=0.4, dim_shape=SHAPE, seed=1))
    objective = formulation(problem, affine, phi="latent", lam=LAM)
    best = fs.Analysis(problem, affine, phi="latent", lam=LAM).value(tikhonov(problem, affine, LAM))
    result = run(fs.solvers.make_solver(name, **options), objective, iterations, rtol=1e-10)
    gap = result.value - best.numpy()
    assert (gap >= -1e-10).all() and (gap <= 1e-6 * best.numpy()).all()


def test_least_squares_without_a_prior_agrees_with_dense_algebra(affine):
    # lam = 0: the flow is there, its weight is not.
    problem = make_problem(ops.Blur.uniform(3, dim_shape=SHAPE, boundary="zero"))
    objective = fs.Analysis(problem, affine, phi="latent", lam=0.0)
    exact = torch.linalg.lstsq(dense(problem.operator), problem.y.flatten(1).T).solution.T
    for name in ("lbfgs", "nonlinear_cg", "gauss_newton"):
        result = run(fs.solvers.make_solver(name), objective, 400)
        torch.testing.assert_close(result.x.flatten(1), exact, rtol=0, atol=1e-5)
        assert (result.value <= 1e-9).all()


def test_lasso_agrees_with_pyxu_and_scipy(affine):
    pyxu = pytest.importorskip("pyxu.operator")
    from pyxu.opt.solver import PGD
    from pyxu.opt.stop import MaxIter

    operator, weight = ops.Blur.uniform(3, dim_shape=SHAPE, boundary="circular"), 0.05
    problem = make_problem(operator)
    extra = PyxuFunctional(pyxu.L1Norm(SHAPE), weight=weight)
    objective = fs.Analysis(problem, affine, phi="latent", lam=0.0, extra=extra)
    result = run(fs.solvers.make_solver("forward_backward"), objective, 600)
    a = dense(operator).numpy()
    for i in range(2):
        y = problem.y[i].flatten().numpy()

        # x = p − q with p, q ≥ 0 makes the norm linear.
        def fun(pq, y=y):
            residual = a @ (pq[:N] - pq[N:]) - y
            pulled = a.T @ residual
            return 0.5 * residual @ residual + weight * pq.sum(), np.r_[pulled, -pulled] + weight

        theirs = minimize(
            fun,
            np.zeros(2 * N),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * 2 * N,
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000, "maxfun": 10000},
        )
        assert result.value[i] == pytest.approx(theirs.fun, rel=1e-6)
        half = 0.5 * pyxu.SquaredL2Norm(N).argshift(-y) * ops_matrix(a)
        half.diff_lipschitz = 1.0
        solver = PGD(f=half, g=weight * pyxu.L1Norm(N), verbosity=10**6, show_progress=False)
        solver.fit(x0=np.zeros(N), stop_crit=MaxIter(1500))
        x = torch.as_tensor(solver.solution()).reshape(1, *SHAPE)
        alone = fs.Analysis(problem.select([i]), affine, phi="latent", lam=0.0, extra=extra)
        assert result.value[i] == pytest.approx(alone.value(x).item(), rel=1e-6)


def ops_matrix(a):
    from pyxu.abc import LinOp

    return LinOp.from_array(a)


def test_total_variation_denoising_agrees_with_pyxu(affine):
    pyxu = pytest.importorskip("pyxu.operator")
    from pyxu.opt.solver import CondatVu
    from pyxu.opt.stop import MaxIter

    weight = 0.1
    problem = make_problem(ops.Identity(dim_shape=SHAPE), n=1)
    extra = TotalVariation(weight, coupled=False, iterations=200)
    objective = fs.Analysis(problem, affine, phi="latent", lam=0.0, extra=extra)
    result = run(fs.solvers.make_solver("forward_backward"), objective, 40)

    gradient = pyxu.Gradient(SHAPE, directions=(1, 2), mode="edge", scheme="forward", diff_method="fd")
    loss = 0.5 * pyxu.SquaredL2Norm(SHAPE).argshift(-problem.y[0].numpy())
    norm = weight * pyxu.L21Norm(gradient.codim_shape, l2_axis=0)
    solver = CondatVu(f=loss, h=norm, K=gradient, verbosity=10**6, show_progress=False)
    solver.fit(x0=np.zeros(SHAPE), stop_crit=MaxIter(3000), beta=1.0)
    theirs = objective.value(torch.as_tensor(solver.solution()).reshape(1, *SHAPE)).item()
    assert result.value[0] == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("name", ["L1Norm", "PositiveOrthant", "RangeSet", "L21Norm", "TV"])
def test_flow_prior_with_a_pyxu_functional_is_optimal_to_first_order(name):
    pyxu = pytest.importorskip("pyxu.operator")
    if name == "TV":
        extra = TotalVariation(0.05, iterations=40)
    elif name == "L21Norm":
        extra = PyxuFunctional(pyxu.L21Norm(SHAPE, l2_axis=0), weight=0.05)
    elif name == "RangeSet":
        # The range of a two-dimensional subspace: constant colours within the upper and the lower half.
        basis = np.zeros((N, 2))
        upper = np.arange(N) % 16 < 8
        basis[upper, 0] = basis[~upper, 1] = 1
        extra = PyxuFunctional(pyxu.RangeSet(ops_matrix(basis)))
    else:
        extra = PyxuFunctional(getattr(pyxu, name)(SHAPE), weight=0.05)
    problem = make_problem(ops.Mask.random(missing=0.4, dim_shape=SHAPE, seed=1))
    objective = fs.Analysis(problem, make_curved(), phi="latent", lam=0.01, extra=extra)
    solver = fs.solvers.make_solver("forward_backward")
    result = run(solver, objective, 80, rtol=1e-10)
    start = objective.value(extra.prox(torch.full((2, *SHAPE), 0.5, dtype=torch.float64), torch.ones(2)))
    assert (result.value < start.numpy()).all()
    # A minimum is a fixed point of the forward-backward step, whatever its length.
    smooth = objective.split("data").smooth(result.x)
    tau = torch.full((2,), 0.1, dtype=torch.float64)
    fixed = extra.prox(result.x - 0.1 * smooth.grad, tau)
    torch.testing.assert_close(fixed, result.x, rtol=0, atol=1e-4)
