"""Operators to and from other libraries: values, adjoints, and use in a solver."""

import sys
import types

import numpy as np
import pytest
import torch
from helpers import make_images
from scipy.sparse import random_array
from scipy.sparse.linalg import LinearOperator as SciPyOperator
from scipy.sparse.linalg import lsqr

import flowsolve as fs
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.operators import Blur, Downsample, Gradient, Mask, conformance, from_config, interop
from flowsolve.solvers import registry as solvers

SHAPE = (3, 8, 8)
BLUR = Blur.gaussian(1.0, SHAPE, size=5, boundary="reflect")


class DuckPhysics:
    """What is used of deepinv's LinearPhysics: A and A_adjoint on torch tensors (B, ...)."""

    def __init__(self, A, A_adjoint, img_size=None):
        self.A, self.A_adjoint, self.img_size = A, A_adjoint, img_size


class DuckLops:
    """What is used of a PyLops operator: dims, dimsd, shape, dtype, matvec and rmatvec."""

    def __init__(self, op):
        self.op, self.dims, self.dimsd = op, op.dim_shape, op.codim_shape
        self.shape = (int(np.prod(op.codim_shape)), int(np.prod(op.dim_shape)))
        self.dtype = np.dtype("float64")

    def matvec(self, x):
        return self.op.apply(x.reshape(self.dims)).ravel()

    def rmatvec(self, y):
        return self.op.adjoint(y.reshape(self.dimsd)).ravel()


def through_scipy(op):
    return interop.from_scipy(interop.to_scipy(op), op.dim_shape, op.codim_shape)


def through_pyxu(op):
    return interop.from_pyxu(interop.to_pyxu(op))


def through_duck_pylops(op):
    return interop.from_pylops(DuckLops(op))


def through_duck_deepinv(op):
    physics = DuckPhysics(op.apply, op.adjoint)
    return interop.from_deepinv(physics, op.dim_shape, dtype=torch.float64)


def through_pylops(op):
    pytest.importorskip("pylops")
    return interop.from_pylops(interop.to_pylops(op))


def through_deepinv(op):
    pytest.importorskip("deepinv")
    return interop.from_deepinv(interop.to_deepinv(op), op.dim_shape, dtype=torch.float64)


TRIPS = [
    through_scipy,
    through_pyxu,
    through_pylops,
    through_duck_pylops,
    through_deepinv,
    through_duck_deepinv,
]


@pytest.fixture(params=TRIPS, ids=lambda f: f.__name__)
def trip(request):
    return request.param


@pytest.mark.parametrize("op", [BLUR, Downsample(2, SHAPE), Gradient((1, 4, 5))], ids=repr)
def test_a_round_trip_keeps_values_and_adjoints(trip, op, rng):
    again = trip(op)
    assert (again.dim_shape, again.codim_shape) == (op.dim_shape, op.codim_shape)
    x, y = rng.standard_normal((2, *op.dim_shape)), rng.standard_normal((2, *op.codim_shape))
    np.testing.assert_allclose(again(x), op(x), atol=1e-13)
    np.testing.assert_allclose(again.adjoint(y), op.adjoint(y), atol=1e-13)
    np.testing.assert_allclose(again(x[0]), op(x[0]), atol=1e-13)


def test_foreign_operators_conform(trip):
    conformance.assert_conforms(trip(Blur.motion(3, 20, (2, 5, 6), "zero")))


def test_a_foreign_operator_works_in_a_problem_and_a_solver(trip, tiny_prior):
    x = make_images(2)
    results = []
    for op in (BLUR, trip(BLUR)):
        problem = fs.InverseProblem(op, fs.degrade(op, x, sigma=0.05), sigma=0.05, x_true=x)
        objective = fs.Analysis(problem, tiny_prior)
        results.append(fs.solve(objective, "lbfgs", x * 0 + 0.5, max_iter=5))
    torch.testing.assert_close(results[1].x, results[0].x, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(results[1].value, results[0].value)


OWN_SOLVERS = [name for name in solvers if ":" not in name]
BORROWED = ["scipy:L-BFGS-B", "scipy:trust-ncg", "pyxu:PGD", "pyxu:NLCG", "torch:LBFGS", "torch:Adam"]


@pytest.mark.parametrize("solver", [*OWN_SOLVERS, *BORROWED])
def test_every_solver_takes_a_foreign_operator(solver, tiny_prior, tmp_path):
    x = make_images(2)
    op = through_scipy(BLUR)
    problem = fs.InverseProblem(op, fs.degrade(op, x, sigma=0.05), sigma=0.05)
    objective = fs.Analysis(problem, tiny_prior)
    result = fs.solve(objective, solver, x * 0 + 0.5, max_iter=5, record=tmp_path / "run.h5")
    assert (result.value < objective.value(x * 0 + 0.5).numpy()).all()


def test_scipys_solvers_take_ours(rng):
    op = Downsample(2, (1, 6, 6))
    y = rng.standard_normal(op.codim_shape)
    found = lsqr(interop.to_scipy(op), y.ravel(), atol=1e-13, btol=1e-13)[0]
    np.testing.assert_allclose(found.reshape(op.dim_shape), op.pinv(y), atol=1e-9)
    matrix = interop.to_scipy(op)
    np.testing.assert_allclose(matrix.matmat(np.eye(36)), op.to_dense(), atol=1e-14)
    np.testing.assert_allclose(matrix.rmatmat(np.eye(9)), op.to_dense().T, atol=1e-14)
    assert interop.to_scipy(op, np.float32).matvec(np.ones(36)).dtype == np.float32


def test_matrices_are_operators(rng):
    sparse = random_array((6, 20), density=0.3, rng=rng)
    x = torch.from_numpy(rng.standard_normal((3, 1, 4, 5))).float()
    for source in (sparse, sparse.toarray()):
        op = interop.from_scipy(source, (1, 4, 5))
        assert op.codim_shape == (6,) and op(x).dtype == torch.float32
        np.testing.assert_allclose(op(x), x.reshape(3, 20).numpy() @ sparse.toarray().T, atol=1e-5)


def test_pyxus_arithmetic_takes_ours(rng):
    ours = interop.to_pyxu(BLUR)
    x = rng.standard_normal(SHAPE)
    np.testing.assert_allclose((ours.T * ours).apply(x), BLUR.gram()(x), atol=1e-12)
    assert ours.lipschitz == BLUR.lipschitz


def test_pyxus_operators_are_taken(rng):
    from pyxu.operator import SubSample

    op = interop.from_pyxu(SubSample((1, 6, 6), slice(None), slice(0, 6, 2), slice(None)))
    x = rng.standard_normal((2, 1, 6, 6)).astype("float32")
    assert op.codim_shape == (1, 3, 6) and op(x).dtype == np.float32
    np.testing.assert_array_equal(op(x), x[:, :, ::2])


def test_deepinv_is_given_the_maps(monkeypatch, rng):
    fake = types.SimpleNamespace(physics=types.SimpleNamespace(LinearPhysics=DuckPhysics))
    monkeypatch.setitem(sys.modules, "deepinv", fake)
    physics = interop.to_deepinv(BLUR)
    x = torch.from_numpy(rng.standard_normal((2, *SHAPE)))
    torch.testing.assert_close(physics.A(x, sigma=1.0), BLUR(x))
    torch.testing.assert_close(physics.A_adjoint(x), BLUR.adjoint(x))
    assert physics.img_size == SHAPE


def test_deepinv_computes_in_its_own_precision(rng):
    seen = []

    def forward(x):
        seen.append(x.dtype)
        return 2 * x

    op = interop.from_deepinv(DuckPhysics(forward, forward), (1, 2, 2))
    assert op(torch.ones(1, 2, 2, dtype=torch.float64)).dtype == torch.float64
    assert op(np.ones((1, 2, 2))).dtype == np.float64 and set(seen) == {torch.float32}


def test_masks_of_one_image_are_taken(rng):
    masks = Mask.random(0.5, dim_shape=(1, 4, 4), n_images=3)
    x = rng.standard_normal((1, 4, 4))
    one = interop.to_scipy(masks.select([1]))
    np.testing.assert_array_equal(one.matvec(x.ravel()), (x * masks.mask[1]).ravel())
    with pytest.raises(ArgumentError, match=r"operator: got parameters for 3 images; accepted: .*select"):
        interop.to_scipy(masks)


def test_the_description_names_the_source_and_cannot_bring_it_back():
    config = through_pyxu(BLUR).config()
    assert config["name"] == "foreign" and config["source"].startswith("pyxu")
    with pytest.raises(UnsupportedError, match="make it again and convert it"):
        from_config(config)


def _without_adjoint():
    return SciPyOperator((4, 4), matvec=lambda v: v, dtype=float)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: interop.from_scipy("x", (2, 2)), ArgumentError, "source: got str; accepted: a SciPy Linear"),
        (
            lambda: interop.from_scipy(np.eye(4), (2, 3)),
            ArgumentError,
            r"dim_shape: got \(2, 3\); .* of 4 num",
        ),
        (lambda: interop.from_scipy(np.eye(4), (4,), (5,)), ArgumentError, r"codim_shape: got \(5,\)"),
        (lambda: interop.from_scipy(1j * np.eye(4), (4,)), ArgumentError, "source: got dtype complex128"),
        (lambda: interop.to_scipy(BLUR, int), ArgumentError, "dtype: got <class 'int'>; accepted: float32"),
        (lambda: interop.to_scipy(np.eye(2)), ArgumentError, "operator: got ndarray"),
        (lambda: interop.from_pylops(np.eye(2)), ArgumentError, "source: got ndarray; accepted: a pylops"),
        (lambda: interop.from_pyxu(3), ArgumentError, "source: got int; accepted: a pyxu"),
        (lambda: interop.from_deepinv(3, (1, 2, 2)), ArgumentError, "source: got int; accepted: a deepinv"),
        (
            lambda: interop.from_deepinv(DuckPhysics(lambda x: x + 1j, None or abs), (1, 2, 2)),
            ArgumentError,
            "source: got measurements of type Tensor; accepted: real",
        ),
        (
            lambda: interop.from_scipy(_without_adjoint(), (4,)).adjoint(np.ones(4)),
            UnsupportedError,
            "defines no adjoint",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
