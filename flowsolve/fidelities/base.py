"""What a data fidelity offers: value, gradient and proximal operator over measurements.

A fidelity f compares u = A x with the measurement y. It knows nothing of the operator; the
gradient over images is Aᵀ ∇f(A x). Every image is its own problem: one value per image,
summed in float64 whatever the dtype, and one proximal step per image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import Array, check_float, namespace
from ..errors import ArgumentError, UnsupportedError
from ..operators.checks import ImageScalars
from ..operators.config import decode_options, split_config
from ..registry import Registry


class Fidelity(ABC):
    """A convex data fidelity f(u; y) over measurements u.

    Arrays are float32 or float64 of NumPy, CuPy, torch or another array-API library; the
    first axis is the batch. A subclass implements the maps on checked arrays.
    """

    @abstractmethod
    def _terms(self, u: Array, y: Array) -> Array:
        """Return what is summed to the value, of the shape of u."""

    @abstractmethod
    def _grad(self, u: Array, y: Array) -> Array:
        """Return the gradient with respect to u, of its shape."""

    @abstractmethod
    def _prox(self, v: Array, y: Array, tau: Any) -> Array:
        """Return the proximal point; `tau` broadcasts against v."""

    @property
    def curvature(self) -> float | None:
        """Lipschitz constant of the gradient, or ``None`` where there is none."""
        return None

    def value(self, u: Array, y: Array) -> Array:
        """Return f(u; y) of each image.

        Parameters
        ----------
        u, y : array
            A x and the measurement, shape ``(N, ...)``.

        Returns
        -------
        array
            Shape ``(N,)``, float64; infinite where u is outside of f's domain.

        Raises
        ------
        ArgumentError
            If the arrays do not fit together, or f cannot take the measurement.
        """
        xp = self._check(u, y)
        terms = xp.astype(self._terms(u, y), xp.float64)
        return xp.sum(xp.reshape(terms, (terms.shape[0], -1)), axis=1)

    def grad(self, u: Array, y: Array) -> Array:
        """Return ∇f(u; y) with respect to u.

        Parameters
        ----------
        u, y : array
            A x and the measurement, shape ``(N, ...)``.

        Returns
        -------
        array
            Shape, library, dtype and device of u.

        Raises
        ------
        ArgumentError
            As :meth:`value`.
        """
        self._check(u, y)
        return self._grad(u, y)

    def prox(self, v: Array, y: Array, tau: Any) -> Array:
        """Return argmin over u of f(u; y) + ‖u − v‖²/(2 tau).

        Parameters
        ----------
        v, y : array
            A point and the measurement, shape ``(N, ...)``.
        tau : float or array
            Step > 0, or one per image, shape ``(N,)``.

        Returns
        -------
        array
            Shape, library, dtype and device of v.

        Raises
        ------
        ArgumentError
            As :meth:`value`, or if a step is not positive.
        """
        self._check(v, y)
        step = ImageScalars(tau, v, "tau", v.ndim - 1).over(v.ndim - 1)
        return self._prox(v, y, step)

    def select(self, indices: Sequence[int]) -> Fidelity:
        """Return the fidelity of some images of the batch: itself, unless it has parameters per image."""
        return self

    def _options(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-able values."""
        return {}

    def config(self) -> dict[str, Any]:
        """Return name and options, JSON-able, as :func:`from_config` takes them."""
        name = next((key for key in registry if registry.get(key) is type(self)), None)
        if name is None:
            raise UnsupportedError(f"{type(self).__name__} cannot be described: it is not registered")
        return {"name": name, **self._options()}

    def _check(self, u: Array, y: Array) -> Any:
        xp = check_float(u, "u")
        check_float(y, "y")
        namespace(u, y, argument="y")
        if tuple(u.shape) != tuple(y.shape) or u.ndim < 1:
            raise ArgumentError("y", f"shape {tuple(y.shape)}", f"that of A x, {tuple(u.shape)}")
        if u.dtype != y.dtype:
            raise ArgumentError("y", f"dtype {y.dtype}", f"that of A x, {u.dtype}")
        return xp


registry: Registry[type[Fidelity]] = Registry("fidelity", "flowsolve.fidelities")
register_fidelity = registry.register


def from_config(config: Mapping[str, Any]) -> Fidelity:
    """Return the fidelity that ``config()`` described.

    Parameters
    ----------
    config : mapping
        ``{"name": ..., option: value, ...}``.

    Raises
    ------
    ArgumentError
        If the name is unknown or the options are not those of the fidelity.
    """
    name, options = split_config(config, "fidelity")
    cls = registry.get(name, "fidelity")
    return cls(**decode_options(cls, options))
