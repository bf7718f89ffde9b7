"""The domain of the Kullback–Leibler divergence, and its likelihood."""

import numpy as np
import pytest
from scipy import stats

from flowsolve.errors import ArgumentError
from flowsolve.fidelities import KullbackLeibler


def test_is_the_negative_log_likelihood_up_to_a_constant():
    counts = np.array([[0.0, 3.0, 11.0]])
    rates = np.array([[[2.0, 4.0, 8.0]], [[1.0, 2.0, 12.0]]])
    found = [KullbackLeibler(peak=5.0).value(r / 5, counts / 5)[0] for r in rates]
    expected = [-stats.poisson.logpmf(counts, r).sum() for r in rates]
    assert found[0] - found[1] == pytest.approx(expected[0] - expected[1])


def test_domain():
    f, y = KullbackLeibler(), np.array([[1.0], [1.0], [0.0], [0.0]])
    u = np.array([[-0.1], [0.0], [0.0], [-0.1]])
    assert f.value(u, y).tolist() == [np.inf, np.inf, 0.0, np.inf]
    assert np.isnan(f.grad(u, y)[:2]).all()
    assert np.isfinite(KullbackLeibler(background=0.2).value(u, y)).all()


def test_prox_stays_in_the_domain_even_for_tiny_counts():
    f = KullbackLeibler(peak=100.0)
    y = np.array([[1e-8, 0.0, 0.5]], dtype="float32")
    u = f.prox(np.full((1, 3), -5.0, dtype="float32"), y, 10.0)
    assert (u >= 0).all() and u[0, 0] > 0 and u[0, 1] == 0 and np.isfinite(u).all()
    # Without cancellation: the root is about step · y / (step − v).
    assert u[0, 0] == pytest.approx(1000 * 1e-8 / 1005, rel=1e-5)


def test_bad_values():
    with pytest.raises(ArgumentError, match=r"y: got a value of -0\.5; accepted: values >= 0"):
        KullbackLeibler().value(np.ones((1, 2)), np.array([[1.0, -0.5]]))
    with pytest.raises(ArgumentError, match="peak: got 0"):
        KullbackLeibler(peak=0)
    with pytest.raises(ArgumentError, match="background: got -1"):
        KullbackLeibler(background=-1)


def test_below_the_floor_it_is_finite_and_convex():
    f, y = KullbackLeibler(peak=20.0, floor=0.05), np.array([[0.0, 0.02, 0.5]])
    w = np.linspace(-0.5, 1.0, 301)
    terms = np.array([f._terms(np.full((1, 3), v), y)[0] for v in w])
    assert np.isfinite(terms).all() and (np.diff(terms, n=2, axis=0) > -1e-9).all()
    np.testing.assert_allclose(w[terms.argmin(0)], y[0], atol=0.006)
    exact = KullbackLeibler(peak=20.0)
    np.testing.assert_array_equal(f.value(y + 0.1, y), exact.value(y + 0.1, y))
