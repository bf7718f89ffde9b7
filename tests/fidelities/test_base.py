"""What every data fidelity keeps to: derivatives, proximal points, batches, types, descriptions."""

import json

import array_api_strict
import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from flowsolve import fidelities
from flowsolve.errors import ArgumentError
from flowsolve.fidelities import Huber, KullbackLeibler, LeastSquares, WeightedLeastSquares

RNG = np.random.default_rng(3)
FIDELITIES = {
    "least_squares": LeastSquares(),
    "weighted": WeightedLeastSquares(RNG.random((1, 3, 4)) * 3),
    "weighted-per-image": WeightedLeastSquares(RNG.random((3, 2, 1, 4)) * 3, per_image=True),
    "kullback_leibler": KullbackLeibler(peak=7.0),
    "kullback_leibler-background": KullbackLeibler(peak=0.5, background=0.1),
    "kullback_leibler-floor": KullbackLeibler(peak=7.0, floor=0.3),
    "huber": Huber(0.3),
    "huber-scaled": Huber(0.3, scale=4.0),
}


@pytest.fixture(params=FIDELITIES)
def fidelity(request):
    return FIDELITIES[request.param]


@pytest.fixture
def u():
    return np.random.default_rng(0).random((3, 2, 3, 4)) + 0.05


@pytest.fixture
def y():
    values = np.random.default_rng(1).random((3, 2, 3, 4)) * 2
    values[0, 0, 0, :2] = 0.0
    return values


def test_gradient_is_that_of_the_value(fidelity, u, y):
    direction = np.random.default_rng(2).standard_normal(u.shape)
    h = 1e-6
    change = (fidelity.value(u + h * direction, y) - fidelity.value(u - h * direction, y)) / (2 * h)
    np.testing.assert_allclose((fidelity.grad(u, y) * direction).sum((1, 2, 3)), change, rtol=1e-6)


def test_prox_is_the_minimiser(fidelity, y):
    v = np.random.default_rng(4).standard_normal(y.shape)
    taus = np.array([0.05, 0.8, 6.0])
    found = fidelity.prox(v, y, taus)

    def objective(u):
        return fidelity._terms(u, y) + (u - v) ** 2 / (2 * taus.reshape(3, 1, 1, 1))

    for index in [(0, 0, 0, 0), (0, 1, 2, 3), (1, 0, 1, 1), (1, 1, 0, 2), (2, 0, 2, 0), (2, 1, 2, 1)]:

        def along(value, index=index):
            moved = found.copy()
            moved[index] = value
            return objective(moved)[index]

        low = -10.0 if getattr(fidelity, "floor", 0) else -getattr(fidelity, "background", 10.0)
        best = minimize_scalar(along, bounds=(low, 10.0), method="bounded", options={"xatol": 1e-10})
        assert found[index] == pytest.approx(best.x, abs=2e-5)
        assert along(found[index]) <= best.fun + 1e-10


def test_prox_is_stationary(fidelity, y):
    v = np.random.default_rng(5).random(y.shape) + 0.3
    taus = np.array([0.05, 0.8, 6.0])
    u = fidelity.prox(v, y, taus)
    stationary = taus.reshape(3, 1, 1, 1) * fidelity.grad(u, y) + u - v
    # Where a count is 0 the minimum may lie on the edge of the domain instead.
    assert np.nanmax(np.abs(np.where(u > 1e-9, stationary, 0))) < 1e-9


def test_value_at_the_measurement_is_the_least(fidelity, u, y):
    shift = getattr(fidelity, "background", 0.0)
    least = fidelity.value(y - shift, y)
    # A parabola's lowest point is where the divergence's is, a constant above 0.
    if not getattr(fidelity, "floor", 0):
        np.testing.assert_allclose(least, 0, atol=1e-12)
    assert (fidelity.value(u, y) > 0).all()


def test_images_do_not_see_each_other(fidelity, u, y):
    part = fidelity.select([2, 0])
    index = [2, 0]
    np.testing.assert_array_equal(part.value(u[index], y[index]), fidelity.value(u, y)[index])
    np.testing.assert_array_equal(part.grad(u[index], y[index]), fidelity.grad(u, y)[index])


@pytest.mark.parametrize("library", [torch.from_numpy, array_api_strict.asarray], ids=["torch", "strict"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_libraries(fidelity, library, dtype, u, y):
    single = [library(a.astype(dtype)) for a in (u, y)]
    value, grad, prox = fidelity.value(*single), fidelity.grad(*single), fidelity.prox(*single, 0.5)
    assert str(value.dtype).endswith("float64") and str(grad.dtype).endswith(dtype)
    assert str(prox.dtype).endswith(dtype)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(np.asarray(value), fidelity.value(u, y), rtol=tolerance)
    np.testing.assert_allclose(np.asarray(grad), fidelity.grad(u, y), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(np.asarray(prox), fidelity.prox(u, y, 0.5), rtol=tolerance, atol=tolerance)


def test_values_are_summed_in_double_precision():
    u = torch.full((1, 1, 1000, 1000), 1e-3)
    expected = 0.5 * float(torch.tensor(1e-3)) ** 2 * 1e6
    assert float(LeastSquares().value(u, torch.zeros_like(u))[0]) == pytest.approx(expected, rel=1e-7)


def test_config_round_trip(fidelity, u, y):
    again = fidelities.from_config(json.loads(json.dumps(fidelity.config())))
    assert type(again) is type(fidelity) and again.curvature == fidelity.curvature
    np.testing.assert_array_equal(again.value(u, y), fidelity.value(u, y))


def test_curvature_bounds_the_gradient(fidelity, u, y):
    if fidelity.curvature is None:
        pytest.skip("the gradient is not Lipschitz")
    other = u + np.random.default_rng(6).standard_normal(u.shape)
    change = np.linalg.norm(fidelity.grad(u, y) - fidelity.grad(other, y))
    assert change <= fidelity.curvature * np.linalg.norm(u - other) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda u: LeastSquares().value(u, u[:1]), r"y: got shape \(1, 2, 3, 4\); accepted: that of A x"),
        (lambda u: LeastSquares().value(u, u.astype("float32")), "y: got dtype float32"),
        (lambda u: LeastSquares().grad(u.astype(int), u), "u: got dtype int64"),
        (lambda u: LeastSquares().prox(u, u, -1.0), r"tau: got -1\.0; accepted: a finite number > 0"),
        (lambda u: LeastSquares().prox(u, u, np.ones(2)), r"tau: got shape \(2,\)"),
        (
            lambda u: fidelities.from_config({"name": "hubert"}),
            "fidelity: got 'hubert'.*did you mean 'huber'",
        ),
        (lambda u: fidelities.from_config({"name": "huber", "width": 1}), "the options of Huber: delta"),
        (lambda u: fidelities.from_config("huber"), "fidelity: got huber; accepted: a mapping"),
    ],
)
def test_bad_arguments_are_named(call, message, u):
    with pytest.raises(ArgumentError, match=message):
        call(u)
