"""Krylov and power iterations on batches in which every image is its own problem.

Each image has its own step lengths and its own stop: an image that has converged is frozen
while the others go on, so its answer does not depend on its neighbours.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from ..arrays import Array, namespace
from ..errors import ArgumentError
from ..numbers import as_count, as_real


class ConvergenceWarning(RuntimeWarning):
    """An inner iteration stopped at its limit before it reached its tolerance."""


class IterativeResult(NamedTuple):
    """What an inner iteration returns.

    Attributes
    ----------
    x : array
        The solution, one per image.
    iterations : int
        Iterations done, those of the slowest image.
    residual : array
        Relative residual per image (of the normal equations for least squares), with
        axes of length one kept.
    converged : array of bool
        Per image, same shape as `residual`.
    """

    x: Array
    iterations: int
    residual: Array
    converged: Array


def default_tolerance(x: Array) -> float:
    """Return the relative tolerance that suits the dtype: 1e-6 or 1e-11."""
    return 1e-6 if x.dtype == namespace(x).float32 else 1e-11


def check_limits(max_iter: Any, tol: Any) -> None:
    """Check the two limits of an inner iteration.

    Raises
    ------
    ArgumentError
        If `max_iter` is not an integer >= 1 or `tol` not a number >= 0 (or ``None``).
    """
    as_count(max_iter, "max_iter", least=1)
    accepted = "a finite number >= 0, or None"
    if tol is not None and as_real(tol, "tol", accepted) < 0:
        raise ArgumentError("tol", tol, accepted)


def _dot(a: Array, b: Array, ndim: int) -> Array:
    xp = namespace(a)
    return xp.sum(a * b, axis=tuple(range(-ndim, 0)), keepdims=True)


def _ratio(numerator: Array, denominator: Array, active: Array) -> Array:
    """Return the quotient where an image is active and it is defined, else zero."""
    xp = namespace(numerator)
    good = active & (denominator > 0)
    one, zero = xp.ones_like(denominator), xp.zeros_like(numerator)
    return xp.where(good, numerator / xp.where(good, denominator, one), zero)


def conjugate_gradient(
    matvec: Callable[[Array], Array],
    b: Array,
    *,
    ndim: int,
    max_iter: int = 200,
    tol: float | None = None,
) -> IterativeResult:
    """Solve M x = b for a symmetric positive definite M, per image, from x = 0.

    Parameters
    ----------
    matvec : callable
        x to M x, for arrays of the shape of `b`.
    b : array
        Right-hand sides, shape ``(..., *image)``.
    ndim : int
        Number of axes of one image.
    max_iter : int, optional
        Limit on iterations.
    tol : float, optional
        Stop an image when ‖M x − b‖ <= tol ‖b‖. Default: 1e-6 or 1e-11 by dtype.

    Returns
    -------
    IterativeResult
        Solution and what it took.

    References
    ----------
    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems",
    J. Res. Natl. Bur. Stand. 49, 1952.
    """
    check_limits(max_iter, tol)
    xp = namespace(b)
    limit = default_tolerance(b) if tol is None else tol
    x, r, p = xp.zeros_like(b), b, b
    rho = _dot(r, r, ndim)
    target = limit**2 * rho
    scale = rho
    done, k = rho <= target, 0
    while k < max_iter and not bool(xp.all(done)):
        k += 1
        q = matvec(p)
        alpha = _ratio(rho, _dot(p, q, ndim), ~done)
        x, r = x + alpha * p, r - alpha * q
        rho_next = _dot(r, r, ndim)
        p = r + _ratio(rho_next, rho, ~done) * p
        rho = rho_next
        done = rho <= target
    residual = xp.sqrt(_ratio(rho, scale, scale > 0))
    return IterativeResult(x, k, residual, done)


def cgls(
    apply: Callable[[Array], Array],
    adjoint: Callable[[Array], Array],
    y: Array,
    *,
    dim_ndim: int,
    codim_ndim: int,
    max_iter: int = 500,
    tol: float | None = None,
) -> IterativeResult:
    """Return the least-squares solution of least norm of A x = y, per image, from x = 0.

    Iterates stay in the range of Aᵀ, so the limit is the pseudo-inverse's A⁺ y. On an
    ill-conditioned A an early stop acts as a regulariser: what comes back is then smoother
    than A⁺ y.

    Parameters
    ----------
    apply, adjoint : callable
        A and Aᵀ.
    y : array
        Measurements, shape ``(..., *codim_shape)``.
    dim_ndim, codim_ndim : int
        Number of axes of one image and of one measurement.
    max_iter : int, optional
        Limit on iterations.
    tol : float, optional
        Stop an image when ‖Aᵀ(A x − y)‖ <= tol ‖Aᵀ y‖. Default: 1e-6 or 1e-11 by dtype.

    Returns
    -------
    IterativeResult
        Solution and what it took.

    References
    ----------
    Björck, "Numerical Methods for Least Squares Problems", SIAM 1996, section 7.4.
    """
    check_limits(max_iter, tol)
    xp = namespace(y)
    limit = default_tolerance(y) if tol is None else tol
    r = y
    s = adjoint(y)
    x, p = xp.zeros_like(s), s
    gamma = _dot(s, s, dim_ndim)
    scale, target = gamma, limit**2 * gamma
    done, k = gamma <= target, 0
    while k < max_iter and not bool(xp.all(done)):
        k += 1
        q = apply(p)
        # One number per image, whether the image or its measurement has more axes.
        curvature = xp.reshape(_dot(q, q, codim_ndim), tuple(gamma.shape))
        alpha = _ratio(gamma, curvature, ~done)
        x = x + alpha * p
        r = r - xp.reshape(alpha, (*tuple(y.shape)[: y.ndim - codim_ndim], *(1,) * codim_ndim)) * q
        s = adjoint(r)
        gamma_next = _dot(s, s, dim_ndim)
        p = s + _ratio(gamma_next, gamma, ~done) * p
        gamma = gamma_next
        done = gamma <= target
    residual = xp.sqrt(_ratio(gamma, scale, scale > 0))
    return IterativeResult(x, k, residual, done)


def power_iteration(
    gram: Callable[[Array], Array],
    x: Array,
    *,
    max_iter: int = 500,
    tol: float = 1e-6,
) -> float:
    """Estimate the largest eigenvalue of a symmetric positive semi-definite map.

    Parameters
    ----------
    gram : callable
        The map, for arrays of the shape of `x`.
    x : array
        Start, which should be random; the whole array counts as one vector.
    max_iter : int, optional
        Limit on iterations.
    tol : float, optional
        Stop when the estimate changes by less than this fraction.

    Returns
    -------
    float
        A Rayleigh quotient, hence never above the true value: an *estimate from below*.
    """
    xp = namespace(x)
    x = x / xp.sqrt(xp.sum(x * x))
    value = 0.0
    for _ in range(max_iter):
        g = gram(x)
        previous, value = value, float(xp.sum(x * g))
        norm = float(xp.sqrt(xp.sum(g * g)))
        if norm == 0.0 or abs(value - previous) <= tol * abs(value):
            break
        x = g / norm
    return max(value, 0.0)


def perron_bound(gram: Callable[[Array], Array], x: Array, *, max_iter: int = 50, tol: float = 1e-4) -> float:
    """Return a bound from above on the largest eigenvalue of a symmetric map without negative entries.

    For any positive x the largest of (M x)_i / x_i is such a bound (Collatz and Wielandt;
    Horn and Johnson, "Matrix Analysis", theorem 8.1.26), and power iteration sharpens it.

    Parameters
    ----------
    gram : callable
        The map M, for arrays of the shape of `x`.
    x : array
        Start; all numbers > 0.
    max_iter : int, optional
        Limit on iterations.
    tol : float, optional
        Stop when the bound falls by less than this fraction.

    Returns
    -------
    float
        Never below the eigenvalue; raised by 1e-9, since an FFT in `gram` rounds.
    """
    xp, bound = namespace(x), math.inf
    for _ in range(max_iter):
        image = gram(x)
        # A pixel with a row of zeros belongs to the eigenvalue 0 and to no other.
        seen = x > 0
        ratio = xp.where(seen, image / xp.where(seen, x, xp.ones_like(x)), xp.zeros_like(x))
        previous, bound = bound, min(bound, float(xp.max(ratio)))
        largest = float(xp.max(image))
        if largest == 0.0 or previous - bound <= tol * bound:
            break
        # What an FFT leaves below zero is rounding; it may not turn into a sign.
        x = xp.where(image > 0, image / largest, xp.zeros_like(x))
    return bound * (1 + 1e-9)


def warn_unconverged(what: str, result: IterativeResult, tol: float) -> None:
    """Warn with :class:`ConvergenceWarning` if any image of `result` fell short of `tol`."""
    xp = namespace(result.x)
    if not bool(xp.all(result.converged)):
        worst = float(xp.max(result.residual))
        warnings.warn(
            f"{what}: stopped after {result.iterations} iterations at a relative residual of "
            f"{worst:.1e} (tol {tol:.1e})",
            ConvergenceWarning,
            stacklevel=3,
        )
