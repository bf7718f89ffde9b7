"""Operators of other libraries as operators of ours: what the conversions of `interop` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from ..arrays import Array, copy, cross, dtype_name, from_host, is_torch, library, namespace, to_numpy
from ..errors import ArgumentError, UnsupportedError
from .base import LinearOperator
from .registration import register_composite

Map = Callable[[Any], Any]


@register_composite("foreign")
class Foreign(LinearOperator):
    """A linear map given by two functions of another library.

    Parameters
    ----------
    source : object
        The operator of the other library; kept, and named in the description.
    forward, backward : callable
        A and Aᵀ on batches ``(N, *dim_shape)`` and ``(N, *codim_shape)`` of the library that
        `carrier` names.
    dim_shape, codim_shape : tuple of int
        Shapes of one image and one measurement.
    carrier : str, optional
        What the functions take. ``"numpy"`` (default): host arrays, to which arrays on other
        devices are copied. ``"cupy"``, ``"torch"`` or another array library: arrays of that
        library where they lie, handed over through DLPack without a copy.
        ``"numpy/cupy"``: CuPy for what is on a GPU, NumPy for the rest. Results return to
        the library, dtype and device of the argument, in the same way.

    Notes
    -----
    On torch, gradients go through `backward`, so solvers that differentiate work whatever
    the library. There are no closed forms, and `lipschitz` is estimated.
    """

    def __init__(
        self,
        source: Any,
        forward: Map,
        backward: Map,
        dim_shape: Sequence[int],
        codim_shape: Sequence[int],
        carrier: str = "numpy",
    ) -> None:
        super().__init__(dim_shape, codim_shape)
        self.source, self._forward, self._backward = source, forward, backward
        self._carrier = carrier

    def _apply(self, x: Array) -> Array:
        return self._through(self._forward, x, self.dim_shape, self.codim_shape)

    def _adjoint(self, y: Array) -> Array:
        return self._through(self._backward, y, self.codim_shape, self.dim_shape)

    def _through(self, function: Map, x: Array, before: tuple[int, ...], after: tuple[int, ...]) -> Array:
        batch = tuple(x.shape)[: x.ndim - len(before)]
        carried = self._carry(x)
        flat = _reshape(carried, (-1, *before))
        result = function(flat)
        if not hasattr(result, "__dlpack__"):
            result = np.asarray(result)
        xp = namespace(result)
        if xp.isdtype(result.dtype, "complex floating"):
            raise UnsupportedError(f"{type(self.source).__name__} gives complex numbers; operators are real")
        # Copied where the map hands back what it was given, which is not its to give away.
        result = copy(result) if _aliases(result, flat) else result
        return self._back(_reshape(result, (*batch, *after)), x)

    def _carry(self, x: Array) -> Array:
        """Return `x` in the library that the functions take."""
        carrier = self._carrier
        if carrier == "numpy/cupy":
            on_gpu = library(x) == "cupy" or (is_torch(x) and x.device.type == "cuda")
            carrier = "cupy" if on_gpu else "numpy"
        return to_numpy(x) if carrier == "numpy" else cross(x, carrier)

    @staticmethod
    def _back(result: Array, x: Array) -> Array:
        """Return a result in the library, dtype and device of `x`."""
        if library(result) == "numpy":
            return from_host(np.ascontiguousarray(result, dtype=dtype_name(x)), x)
        returned = cross(result, library(x))
        return namespace(returned).astype(returned, x.dtype, copy=False)

    def _options(self) -> dict[str, Any]:
        kind = type(self.source)
        return {
            "source": f"{kind.__module__}.{kind.__qualname__}",
            "dim_shape": list(self.dim_shape),
            "codim_shape": list(self.codim_shape),
        }

    @classmethod
    def from_config(cls, options: dict[str, Any]) -> NoReturn:
        """Raise `UnsupportedError`: a description cannot bring another library's object back."""
        raise UnsupportedError(
            f"the operator was a {options.get('source')} of another library, of which the description keeps "
            "the name only; make it again and convert it"
        )


def _reshape(x: Array, shape: tuple[int, ...]) -> Array:
    return namespace(x).reshape(x, shape)


def _aliases(result: Array, given: Array) -> bool:
    """Return whether a result may share memory with the argument, of NumPy exactly."""
    if isinstance(result, np.ndarray) and isinstance(given, np.ndarray):
        return np.may_share_memory(result, given)
    if is_torch(result) and is_torch(given):
        return result.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
    return result is given


def single_image_maps(operator: LinearOperator) -> tuple[Map, Map]:
    """Return A and Aᵀ on arrays with any leading axes, for a library that knows no batches.

    Parameters
    ----------
    operator : LinearOperator
        Its parameters may be shared by all images, or be those of one.

    Raises
    ------
    ArgumentError
        If it has parameters for several images.
    """
    if not isinstance(operator, LinearOperator):
        raise ArgumentError("operator", type(operator).__name__, "a flowsolve LinearOperator")
    if operator.n_images is None:
        return operator.apply, operator.adjoint
    if operator.n_images > 1:
        given = f"parameters for {operator.n_images} images"
        raise ArgumentError("operator", given, "parameters that all images share: take select([i])")

    def with_batch(function: Map, ndim: int) -> Map:
        def call(x: Array) -> Array:
            shape = tuple(x.shape)
            spread = x.reshape(*shape[: len(shape) - ndim], 1, *shape[len(shape) - ndim :])
            result = function(spread)
            axis = len(shape) - ndim
            return result.reshape(*shape[:axis], *tuple(result.shape)[axis + 1 :])

        return call

    return (
        with_batch(operator.apply, len(operator.dim_shape)),
        with_batch(operator.adjoint, len(operator.codim_shape)),
    )
