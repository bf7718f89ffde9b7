"""To and from the operators of Pyxu, SciPy, PyLops and deepinv.

``to_*`` wraps an operator of ours for another library, ``from_*`` does the reverse; a round
trip keeps values and adjoints. The libraries are imported when a function needs them.
What comes from elsewhere is a :class:`.Foreign` operator, which works wherever one of ours
does: in problems, objectives and solvers, on every array library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from .base import LinearOperator
from .checks import as_shape
from .foreign import Foreign, single_image_maps

__all__ = [
    "from_deepinv",
    "from_functions",
    "from_pylops",
    "from_pyxu",
    "from_scipy",
    "to_deepinv",
    "to_pylops",
    "to_pyxu",
    "to_scipy",
]


def from_functions(
    forward: Callable[[Any], Any],
    backward: Callable[[Any], Any],
    dim_shape: Sequence[int],
    codim_shape: Sequence[int],
    carrier: str = "numpy",
) -> Foreign:
    """Return an operator from two functions, written for one array library or another.

    Parameters
    ----------
    forward, backward : callable
        A and Aᵀ on batches ``(N, *dim_shape)`` and ``(N, *codim_shape)``.
    dim_shape, codim_shape : tuple of int
        Shapes of one image and one measurement.
    carrier : str, optional
        Library whose arrays the functions take, see :class:`.Foreign`: with ``"cupy"``,
        CUDA tensors of a torch objective reach them through DLPack without a copy.

    Returns
    -------
    Foreign

    Raises
    ------
    ArgumentError
        If one is not callable or a shape is no shape.
    """
    for argument, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise ArgumentError(argument, type(function).__name__, "a function")
    return Foreign(forward, forward, backward, dim_shape, codim_shape, carrier)


def to_scipy(operator: LinearOperator, dtype: Any = np.float64) -> Any:
    """Return a :class:`scipy.sparse.linalg.LinearOperator` between flat vectors.

    Parameters
    ----------
    operator : LinearOperator
        The operator A.
    dtype : numpy dtype, optional
        float32 or float64: the precision that vectors are converted to.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator
        Shape ``(m, n)``, with products with matrices done as batches.

    Raises
    ------
    ArgumentError
        If the operator has parameters for several images.
    """
    from scipy.sparse.linalg import LinearOperator as SciPyOperator

    return SciPyOperator(**_flat_maps(operator, dtype))


def from_scipy(source: Any, dim_shape: Sequence[int], codim_shape: Sequence[int] | None = None) -> Foreign:
    """Return an operator from SciPy's :class:`~scipy.sparse.linalg.LinearOperator`, or a matrix.

    Parameters
    ----------
    source : LinearOperator, sparse or dense array
        Anything that :func:`scipy.sparse.linalg.aslinearoperator` takes, real.
    dim_shape : tuple of int
        Shape of one image, of as many numbers as `source` has columns.
    codim_shape : tuple of int, optional
        Shape of one measurement. Default: ``(m,)``.

    Returns
    -------
    Foreign

    Raises
    ------
    ArgumentError
        If it is no operator, complex, or the shapes do not fit.
    """
    from scipy.sparse.linalg import aslinearoperator

    try:
        wrapped = aslinearoperator(source)
    except TypeError:
        accepted = "a SciPy LinearOperator, a sparse or a dense matrix"
        raise ArgumentError("source", type(source).__name__, accepted) from None
    return _from_flat(source, wrapped, dim_shape, codim_shape)


def to_pylops(operator: LinearOperator, dtype: Any = np.float64) -> Any:
    """Return a :class:`pylops.LinearOperator` with ``dims`` and ``dimsd``.

    Parameters
    ----------
    operator, dtype
        As for :func:`to_scipy`.

    Returns
    -------
    pylops.LinearOperator

    Raises
    ------
    ArgumentError
        If the operator has parameters for several images.
    """
    import pylops

    maps = _flat_maps(operator, dtype)

    class FlowsolveOperator(pylops.LinearOperator):
        def _matvec(self, x: np.ndarray) -> np.ndarray:
            return maps["matvec"](x)

        def _rmatvec(self, y: np.ndarray) -> np.ndarray:
            return maps["rmatvec"](y)

    dims, dimsd = operator.dim_shape, operator.codim_shape
    return FlowsolveOperator(dtype=np.dtype(dtype), dims=dims, dimsd=dimsd, name=type(operator).__name__)


def from_pylops(
    source: Any, dim_shape: Sequence[int] | None = None, codim_shape: Sequence[int] | None = None
) -> Foreign:
    """Return an operator from one of PyLops.

    Parameters
    ----------
    source : pylops.LinearOperator
        Real.
    dim_shape, codim_shape : tuple of int, optional
        Shapes of one image and one measurement. Default: its ``dims`` and ``dimsd``.

    Returns
    -------
    Foreign

    Raises
    ------
    ArgumentError
        If it is no operator, complex, or the shapes do not fit.
    """
    if not all(hasattr(source, name) for name in ("matvec", "rmatvec", "shape", "dims", "dimsd")):
        raise ArgumentError("source", type(source).__name__, "a pylops.LinearOperator")
    dim_shape = tuple(int(n) for n in source.dims) if dim_shape is None else dim_shape
    codim_shape = tuple(int(n) for n in source.dimsd) if codim_shape is None else codim_shape
    return _from_flat(source, source, dim_shape, codim_shape)


def to_pyxu(operator: LinearOperator) -> Any:
    """Return a :class:`pyxu.abc.LinOp` with the same maps, Lipschitz constant and pseudo-inverse.

    Parameters
    ----------
    operator : LinearOperator
        The operator A.

    Returns
    -------
    pyxu.abc.LinOp
        On NumPy and CuPy arrays of float32 or float64.

    Raises
    ------
    ArgumentError
        If the operator has parameters for several images.
    """
    import pyxu.abc as pxa
    from pyxu.operator.interop import from_source

    apply, adjoint = single_image_maps(operator)
    return from_source(
        cls=pxa.LinOp,
        dim_shape=operator.dim_shape,
        codim_shape=operator.codim_shape,
        embed={"_name": repr(operator), "_lipschitz": operator.lipschitz},
        apply=lambda _, arr: apply(arr),
        adjoint=lambda _, arr: adjoint(arr),
    )


def from_pyxu(source: Any) -> Foreign:
    """Return an operator from a :class:`pyxu.abc.LinOp`.

    Pyxu may change the dtype of what it is given; results are cast back.

    Parameters
    ----------
    source : pyxu.abc.LinOp
        Real.

    Returns
    -------
    Foreign

    Raises
    ------
    ArgumentError
        If it is no linear operator of Pyxu.
    """
    if not all(hasattr(source, name) for name in ("apply", "adjoint", "dim_shape", "codim_shape")):
        raise ArgumentError("source", type(source).__name__, "a pyxu.abc.LinOp")
    shapes = source.dim_shape, source.codim_shape
    return Foreign(source, source.apply, source.adjoint, *shapes, carrier="numpy/cupy")


def to_deepinv(operator: LinearOperator, **options: Any) -> Any:
    """Return a ``deepinv.physics.LinearPhysics`` without noise.

    Parameters
    ----------
    operator : LinearOperator
        The operator A. Parameters per image are allowed: batches then have that length.
    **options
        Further arguments of ``LinearPhysics``, such as ``noise_model``.

    Returns
    -------
    deepinv.physics.LinearPhysics
        On torch tensors ``(B, *dim_shape)``.
    """
    import deepinv

    if not isinstance(operator, LinearOperator):
        raise ArgumentError("operator", type(operator).__name__, "a flowsolve LinearOperator")
    return deepinv.physics.LinearPhysics(
        A=lambda x, **_: operator.apply(x),
        A_adjoint=lambda y, **_: operator.adjoint(y),
        img_size=operator.dim_shape,
        **options,
    )


def from_deepinv(source: Any, dim_shape: Sequence[int], dtype: Any = None) -> Foreign:
    """Return an operator from a ``deepinv.physics.LinearPhysics``; its noise model is left out.

    Parameters
    ----------
    source : deepinv.physics.LinearPhysics
        Or anything with ``A`` and ``A_adjoint`` on torch tensors ``(B, ...)``.
    dim_shape : tuple of int
        Shape ``(C, H, W)`` of one image.
    dtype : torch.dtype, optional
        Precision that the physics computes in, to and from which tensors are cast. Default:
        that of its first parameter or buffer of floating point, else float32.

    Returns
    -------
    Foreign

    Raises
    ------
    ArgumentError
        If it is no linear physics, or its measurements are no real tensor.
    """
    import torch

    if not all(callable(getattr(source, name, None)) for name in ("A", "A_adjoint")):
        raise ArgumentError("source", type(source).__name__, "a deepinv LinearPhysics")
    shape = as_shape(dim_shape, "dim_shape")
    held = [*getattr(source, "parameters", list)(), *getattr(source, "buffers", list)()]
    tensors = [t for t in held if torch.is_floating_point(t) and t.ndim]
    kind = dtype or (tensors[0].dtype if tensors else torch.float32)
    with torch.no_grad():
        probe = source.A(torch.zeros(1, *shape, dtype=kind, device=tensors[0].device if tensors else "cpu"))
    if not isinstance(probe, torch.Tensor) or probe.is_complex():
        raise ArgumentError("source", f"measurements of type {type(probe).__name__}", "real torch tensors")
    return Foreign(
        source,
        lambda x: source.A(x.to(kind)),
        lambda y: source.A_adjoint(y.to(kind)),
        shape,
        tuple(probe.shape[1:]),
        carrier="torch",
    )


def _flat_maps(operator: LinearOperator, dtype: Any) -> dict[str, Any]:
    """Return products with vectors and matrices, as SciPy names them."""
    apply, adjoint = single_image_maps(operator)
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ArgumentError("dtype", dtype, "float32 or float64")
    m, n = math.prod(operator.codim_shape), math.prod(operator.dim_shape)

    def columns(function: Any, shape: tuple[int, ...]) -> Any:
        def product(matrix: np.ndarray) -> np.ndarray:
            batch = np.asarray(matrix, dtype=kind).T.reshape(-1, *shape)
            return function(batch).reshape(len(batch), -1).T

        return product

    def vector(function: Any, shape: tuple[int, ...]) -> Any:
        return lambda v: function(np.asarray(v, dtype=kind).reshape(shape)).ravel()

    return {
        "shape": (m, n),
        "dtype": kind,
        "matvec": vector(apply, operator.dim_shape),
        "rmatvec": vector(adjoint, operator.codim_shape),
        "matmat": columns(apply, operator.dim_shape),
        "rmatmat": columns(adjoint, operator.codim_shape),
    }


def _from_flat(
    source: Any, wrapped: Any, dim_shape: Sequence[int], codim_shape: Sequence[int] | None
) -> Foreign:
    """Return the operator of something with ``shape``, ``matvec`` and ``rmatvec``."""
    m, n = (int(k) for k in wrapped.shape)
    dims = as_shape(dim_shape, "dim_shape")
    codims = (m,) if codim_shape is None else as_shape(codim_shape, "codim_shape")
    for argument, shape, count in (("dim_shape", dims, n), ("codim_shape", codims, m)):
        if math.prod(shape) != count:
            raise ArgumentError(argument, shape, f"a shape of {count} numbers, as the operator is {m} x {n}")
    if getattr(wrapped, "dtype", None) is not None and np.dtype(wrapped.dtype).kind == "c":
        raise ArgumentError("source", f"dtype {wrapped.dtype}", "a real operator")

    def product(name: str) -> Any:
        whole, single = getattr(wrapped, name.replace("vec", "mat"), None), getattr(wrapped, name)

        def call(x: np.ndarray) -> np.ndarray:
            columns = x.reshape(len(x), -1).T
            try:
                if whole is not None and len(x) > 1:
                    return np.asarray(whole(columns)).T
                return np.stack([np.ravel(single(column)) for column in columns.T])
            except NotImplementedError:
                raise UnsupportedError(f"{type(source).__name__} defines no adjoint ({name})") from None

        return call

    return Foreign(source, product("matvec"), product("rmatvec"), dims, codims)
