"""What needs A Aᵀ inverted: pseudo-inverse, projections, the prox of the data term.

All of it is f(A Aᵀ) for some scalar function f. An operator that can diagonalise A Aᵀ
therefore gives all of it by one hook; the others fall back on Krylov iterations.
"""

from __future__ import annotations

from typing import Any

from ..ambient import tensors_undisturbed
from ..arrays import Array, is_torch, namespace
from ..errors import ArgumentError, UnsupportedError
from .checks import ImageScalars, check_array, check_pair
from .iterative import (
    IterativeResult,
    cgls,
    check_limits,
    conjugate_gradient,
    default_tolerance,
    warn_unconverged,
)
from .spectral import Scalar, with_axes


class ClosedForms:
    """The part of an operator that is made of functions of A Aᵀ; see :class:`LinearOperator`."""

    dim_shape: Any
    codim_shape: Any
    n_images: Any
    apply: Any
    adjoint: Any
    _apply: Any
    _adjoint: Any

    @property
    def has_closed_form(self) -> bool:
        """Whether functions of A Aᵀ are computed exactly, without iteration."""
        return False

    def _cogram_function(self, f: Scalar, y: Array) -> Array:
        """Return f(A Aᵀ) y, `f` mapping eigenvalues with the axes of a measurement to an array like it."""
        raise NotImplementedError

    def _adjoint_cogram_function(self, f: Scalar, y: Array) -> Array:
        """Return Aᵀ f(A Aᵀ) y, differentiable on torch; views have a stabler way to it."""
        return self.adjoint(self._cogram_function(f, y))

    @tensors_undisturbed
    def cogram_function(self, f: Scalar, y: Array) -> Array:
        """Return f(A Aᵀ) y for a scalar function f.

        Parameters
        ----------
        f : callable
            Maps an array of eigenvalues of A Aᵀ, each >= 0, to an array in the same
            library. Whatever the operator is made of, they come with as many axes as a
            measurement has, after those of the batch, if any. What it returns may have more
            leading axes, so that it can hold one function per image.
        y : array
            Measurements, shape ``(..., *codim_shape)``.

        Returns
        -------
        array
            Same shape, library, dtype and device as `y`.

        Raises
        ------
        UnsupportedError
            If the operator has no closed form.
        """
        self._need_closed_form()
        check_array(y, "y", self.codim_shape, self.n_images)
        return self._cogram_function(f, y)

    @tensors_undisturbed
    def gram_function(self, f: Scalar, x: Array) -> Array:
        """Return f(AᵀA) x, from f(AᵀA) = f(0) I + Aᵀ h(AAᵀ) A with h(e) = (f(e) − f(0)) / e.

        Rounding is relative to f(0) as well as to the result.

        Parameters
        ----------
        f : callable
            As for :meth:`cogram_function`, with as many axes as an image has.
        x : array
            Images, shape ``(..., *dim_shape)``.

        Returns
        -------
        array
            Same shape, library, dtype and device as `x`.

        Raises
        ------
        UnsupportedError
            If the operator has no closed form.
        """
        self._need_closed_form()
        xp = check_array(x, "x", self.dim_shape, self.n_images)

        shown = with_axes(f, len(self.codim_shape), len(self.dim_shape))

        def quotient(e: Array) -> Array:
            positive = e > 0
            return (shown(e) - shown(xp.zeros_like(e))) / xp.where(positive, e, xp.ones_like(e))

        zero = xp.zeros((1,) * len(self.dim_shape), dtype=x.dtype, device=x.device)
        return f(zero) * x + self.adjoint(self._cogram_function(quotient, self.apply(x)))

    @tensors_undisturbed
    def pinv(
        self, y: Array, *, rcond: float | None = None, max_iter: int = 500, tol: float | None = None
    ) -> Array:
        """Return the pseudo-inverse A⁺ y: of all least-squares solutions, the smallest.

        Parameters
        ----------
        y : array
            Measurements, shape ``(..., *codim_shape)``.
        rcond : float, optional
            In closed form, singular values up to `rcond` times the image's largest count
            as zero. Default: machine epsilon times the longest side. Not used otherwise.
        max_iter, tol : int, float, optional
            Limits of the least-squares iteration (:func:`.iterative.cgls`) that is used
            where there is no closed form; a ``ConvergenceWarning`` says if it fell short.

        Returns
        -------
        array
            Images, shape ``(..., *dim_shape)``.

        Raises
        ------
        ArgumentError
            If an argument is not acceptable.
        """
        xp = check_array(y, "y", self.codim_shape, self.n_images)
        if not self.has_closed_form:
            return self._pinv_iterative(y, max_iter, tol)
        if rcond is None:
            rcond = float(xp.finfo(y.dtype).eps) * max(*self.dim_shape, *self.codim_shape)
        elif not 0 <= rcond < 1:
            raise ArgumentError("rcond", rcond, "a number in [0, 1)")
        return self._adjoint_cogram_function(self._inverse(rcond), y)

    @tensors_undisturbed
    def project_nullspace(self, u: Array, *, max_iter: int = 500, tol: float | None = None) -> Array:
        """Return u − A⁺A u, the part of `u` that the measurement does not see.

        Parameters
        ----------
        u : array
            Images, shape ``(..., *dim_shape)``.
        max_iter, tol : int, float, optional
            As for :meth:`pinv`.

        Returns
        -------
        array
            Same shape, library, dtype and device as `u`.
        """
        return u - self.pinv(self.apply(u), max_iter=max_iter, tol=tol)

    @tensors_undisturbed
    def prox_l2(
        self, v: Array, y: Array, tau: Any, *, max_iter: int = 200, tol: float | None = None
    ) -> Array:
        """Return argmin over x of ½‖Ax − y‖² + ‖x − v‖² / (2 tau).

        Computed as v + Aᵀ tau (I + tau AAᵀ)⁻¹ (y − Av), in closed form or by conjugate
        gradients in measurement space.

        Parameters
        ----------
        v : array
            Images, shape ``(..., *dim_shape)``.
        y : array
            Measurements, shape ``(..., *codim_shape)``, library and dtype of `v`.
        tau : float or array
            Step > 0, or one per image, shape ``(N,)``, or with trailing axes of length one,
            such as ``(N, 1, 1, 1)``, however many axes the operator's spaces have. The number
            ``inf`` gives the projection of `v` onto the solutions of Ax = y.
        max_iter, tol : int, float, optional
            Limits of the iteration, where there is no closed form; a
            ``ConvergenceWarning`` says if it fell short. Its gradient does not reach
            `tau`.

        Returns
        -------
        array
            Images, shape ``(..., *dim_shape)``.

        Raises
        ------
        ArgumentError
            If an argument is not acceptable.
        """
        check_array(v, "v", self.dim_shape, self.n_images)
        check_array(y, "y", self.codim_shape, self.n_images)
        check_pair(v, y, len(self.dim_shape), len(self.codim_shape))
        residual = y - self.apply(v)
        axes = (len(self.codim_shape), len(self.dim_shape))
        step = ImageScalars(tau, residual, "tau", *axes, infinite=True)
        if step.is_infinite:
            return v + self.pinv(residual, max_iter=max_iter, tol=tol)
        t = step.over(axes[0])
        if self.has_closed_form:
            return v + self._adjoint_cogram_function(lambda e: t / (1 + t * e), residual)
        solved = self._solve(
            lambda s: s + t * self._apply(self._adjoint(s)), residual, "prox_l2", max_iter, tol
        )
        return v + self.adjoint(t * solved)

    @tensors_undisturbed
    def tikhonov(self, y: Array, alpha: Any, *, max_iter: int = 200, tol: float | None = None) -> Array:
        """Return (AᵀA + alpha I)⁻¹ Aᵀ y, the minimiser of ‖Ax − y‖² + alpha ‖x‖².

        Parameters
        ----------
        y : array
            Measurements, shape ``(..., *codim_shape)``.
        alpha : float or array
            Weight > 0, or one per image, as `tau` of :meth:`prox_l2`.
        max_iter, tol : int, float, optional
            As for :meth:`prox_l2`.

        Returns
        -------
        array
            Images, shape ``(..., *dim_shape)``.

        Raises
        ------
        ArgumentError
            If an argument is not acceptable.
        """
        check_array(y, "y", self.codim_shape, self.n_images)
        axes = (len(self.codim_shape), len(self.dim_shape))
        a = ImageScalars(alpha, y, "alpha", *axes).over(axes[0])
        if self.has_closed_form:
            return self._adjoint_cogram_function(lambda e: 1 / (e + a), y)
        solved = self._solve(lambda s: a * s + self._apply(self._adjoint(s)), y, "tikhonov", max_iter, tol)
        return self.adjoint(solved)

    def _need_closed_form(self) -> None:
        if not self.has_closed_form:
            raise UnsupportedError(
                f"{type(self).__name__} has no closed form for functions of A Aᵀ; "
                "pinv, prox_l2 and tikhonov work by iteration"
            )

    def _inverse(self, rcond: float) -> Scalar:
        """Return e to 1/e where e counts as positive, else 0, per image."""
        axes = tuple(range(-len(self.codim_shape), 0))

        def inverse(e: Array) -> Array:
            xp = namespace(e)
            positive = e > rcond**2 * xp.max(e, axis=axes, keepdims=True)
            safe = xp.where(positive, e, xp.ones_like(e))
            return xp.where(positive, 1 / safe, xp.zeros_like(e))

        return inverse

    def _solve(self, matvec: Any, b: Array, what: str, max_iter: int, tol: float | None) -> Array:
        """Solve M x = b per image; M is symmetric, so the solution is its own adjoint."""
        check_limits(max_iter, tol)

        def solution(rhs: Array) -> Array:
            ndim = len(self.codim_shape)
            result = conjugate_gradient(matvec, rhs, ndim=ndim, max_iter=max_iter, tol=tol)
            return _solution(result, rhs, what, tol)

        return _as_linear(solution, solution, b)

    def _pinv_iterative(self, y: Array, max_iter: int, tol: float | None) -> Array:
        """Return A⁺ y by CGLS; the adjoint of A⁺ is the pseudo-inverse of Aᵀ."""
        check_limits(max_iter, tol)
        dims = (len(self.dim_shape), len(self.codim_shape))

        def solution(maps: Any, ndims: tuple[int, int], rhs: Array) -> Array:
            result = cgls(
                maps[0], maps[1], rhs, dim_ndim=ndims[0], codim_ndim=ndims[1], max_iter=max_iter, tol=tol
            )
            return _solution(result, rhs, "pinv", tol)

        return _as_linear(
            lambda b: solution((self._apply, self._adjoint), dims, b),
            lambda b: solution((self._adjoint, self._apply), dims[::-1], b),
            y,
        )


def _solution(result: IterativeResult, rhs: Array, what: str, tol: float | None) -> Array:
    warn_unconverged(what, result, default_tolerance(rhs) if tol is None else tol)
    return result.x


def _as_linear(forward_map: Scalar, adjoint_map: Scalar, x: Array) -> Array:
    """Give torch one linear map to differentiate instead of the steps of an iteration."""
    if is_torch(x):
        from .autograd import iteration_call

        return iteration_call(forward_map, adjoint_map, x)
    return forward_map(x)
