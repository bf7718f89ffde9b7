"""The one place that knows NumPy, CuPy, torch and other array-API libraries apart.

Everything else is written against the array-API standard through
:mod:`array_api_compat`. Neither torch nor CuPy is imported here unless an array of theirs
is passed in, or a tensor is asked for by name.
"""

from __future__ import annotations

import importlib
from typing import Any

import array_api_compat
import numpy as np

from .errors import ArgumentError

Array = Any
"""An array of any supported library; the standard has no common base class to name."""

_NAMESPACES: dict[type, Any] = {}
"""Namespaces already found, of the array types whose namespace depends on the type alone."""

_TORCH: dict[type, bool] = {}
"""Whether a type met before is a tensor's: asked several times in each call of an operator."""

ARRAYS = "a NumPy, CuPy, torch or array-API array of dtype float32 or float64"


def namespace(*arrays: Array, argument: str = "x") -> Any:
    """Return the array-API namespace that all of `arrays` belong to.

    Parameters
    ----------
    *arrays : array
        Arrays of one library; ``None`` and Python scalars are passed over.
    argument : str, optional
        Name to put in the error message.

    Returns
    -------
    module
        A namespace of array-API functions, for example ``array_api_compat.numpy``.

    Raises
    ------
    ArgumentError
        If an argument is no array, or the arrays come from more than one library.
    """
    if len(arrays) == 1:
        known = _NAMESPACES.get(type(arrays[0]))
        if known is not None:
            return known
    if arrays and all(map(is_torch, arrays)):
        # Not by the search below: it is cached in a way of which torch.compile warns.
        from array_api_compat import torch as found

        return found
    try:
        found = array_api_compat.array_namespace(*arrays)
    except TypeError:
        given = ", ".join(type(a).__module__ + "." + type(a).__name__ for a in arrays)
        accepted = ARRAYS if len(arrays) == 1 else "arrays of one and the same library"
        raise ArgumentError(argument, given, accepted) from None
    x = arrays[0]
    if len(arrays) == 1 and (isinstance(x, np.ndarray) or array_api_compat.is_cupy_array(x)):
        _NAMESPACES[type(x)] = found
    return found


def device(x: Array) -> Any:
    """Return the device that `x` lies on, in the terms of its own library."""
    return array_api_compat.device(x)


def is_torch(x: Any) -> bool:
    """Return whether `x` is a torch tensor, without importing torch."""
    known = _TORCH.get(type(x))
    if known is None:
        # By name: torch.compile can follow that, but no look into what is imported.
        names = [(kind.__module__, kind.__name__) for kind in type(x).__mro__]
        known = _TORCH[type(x)] = ("torch", "Tensor") in names
    return known


def copy(x: Array) -> Array:
    """Return a copy of `x` that shares no memory with it; on torch, part of its graph."""
    return x.clone() if is_torch(x) else namespace(x).asarray(x, copy=True)


def dtype_name(x: Array) -> str:
    """Return the name of the dtype of `x`, such as ``"float32"``, in any library."""
    return str(getattr(x.dtype, "name", x.dtype)).rsplit(".", 1)[-1]


def check_float(x: Any, argument: str) -> Any:
    """Check that `x` is an array of float32 or float64 and return its namespace.

    Raises
    ------
    ArgumentError
        If `x` is no array, or has another dtype: nothing is cast silently.
    """
    xp = namespace(x, argument=argument)
    if x.dtype != xp.float32 and x.dtype != xp.float64:
        hint = "; divide images in 0..255 by 255" if "int" in dtype_name(x) else ""
        raise ArgumentError(argument, f"dtype {dtype_name(x)}", f"dtype float32 or float64{hint}")
    return xp


def to_numpy(x: Any) -> np.ndarray:
    """Return `x` as a NumPy array, sharing memory where it can.

    Parameters
    ----------
    x : array or nested sequence of numbers
        An array of any supported library on any device; a tensor is detached first.

    Returns
    -------
    numpy.ndarray
        Same shape and dtype; may share memory with `x` and may be read-only.
    """
    if is_torch(x):
        return np.asarray(x.detach().cpu().numpy())
    if array_api_compat.is_cupy_array(x):
        return np.asarray(x.get())
    if not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, TypeError, RuntimeError):
            pass  # not on a device that NumPy can see, or an older protocol: try to convert
    return np.asarray(x)


def to_torch(x: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return `x` as a torch tensor, without a copy where that is possible.

    Parameters
    ----------
    x : array or nested sequence of numbers
        CuPy arrays pass by DLPack; NumPy arrays are wrapped, or copied where they are
        read-only or have negative strides, which torch cannot represent.
    dtype : torch.dtype, optional
        Default: the dtype of `x`.
    device : torch.device or str, optional
        Default: the device of `x`.

    Returns
    -------
    torch.Tensor
        May share memory with `x`.
    """
    import torch

    if isinstance(x, torch.Tensor):
        tensor = x
    elif array_api_compat.is_cupy_array(x):
        tensor = torch.from_dlpack(x)
    else:
        host = to_numpy(x)
        if not host.flags.writeable or any(stride < 0 for stride in host.strides):
            host = host.copy()
        # On the device of `x`, whatever torch's default device is.
        tensor = torch.as_tensor(host, device="cpu")
    return tensor.to(device=device, dtype=dtype)


def library(x: Array) -> str:
    """Return the name of the library of `x`, such as ``"torch"``, as Python imports it."""
    name = namespace(x).__name__
    return name.removeprefix("array_api_compat.").split(".")[0]


def cross(x: Array, to: str) -> Array:
    """Return `x` as an array of another library on the same device, through DLPack.

    Nothing is copied, so do not write to either array; only read-only memory of the host,
    which DLPack cannot describe, is. The protocol makes the receiving library wait for work
    on the array that is still under way.

    Parameters
    ----------
    x : array
        A tensor is detached first.
    to : str
        Name of the library, as Python imports it: ``"cupy"``, ``"torch"``, ``"numpy"``, ...

    Returns
    -------
    array
        `x` itself where it is of that library already.

    Raises
    ------
    ArgumentError
        If the library is not installed, or cannot see memory where `x` lies.
    """
    if library(x) == to:
        return x
    try:
        receiver = importlib.import_module(to)
    except ImportError:
        raise ArgumentError("to", repr(to), "the name of an array library that is installed") from None
    source = x.detach() if is_torch(x) else x
    try:
        # What NumPy takes through DLPack it may mark read-only, and then cannot lend on.
        return source.numpy() if to == "numpy" and is_torch(x) else receiver.from_dlpack(source)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        if "cpu" not in str(device(x)).lower():
            given = f"an array of {library(x)} on {device(x)} ({error})"
            raise ArgumentError("x", given, f"an array on a device that {to} can see") from None
    return _cross_on_host(source, receiver)


def _cross_on_host(x: Array, receiver: Any) -> Array:
    """Return an array of the host in another library, where the current protocol failed."""
    if receiver.__name__ != "torch":
        return receiver.asarray(to_numpy(x))
    try:
        # Libraries of an older protocol give a capsule, but take no version for it.
        return receiver.from_dlpack(x.__dlpack__())
    except (BufferError, RuntimeError, TypeError):
        return to_torch(x)


def from_host(host: np.ndarray, like: Array) -> Array:
    """Return a NumPy array in the library, on the device and in the precision of `like`.

    Parameters
    ----------
    host : numpy.ndarray
        Real values take the dtype of `like`, complex values the complex dtype of the same
        precision; integers and booleans keep theirs.
    like : array
        A float32 or float64 (or complex) array.

    Returns
    -------
    array
        Same shape as `host`; may share memory with it, so do not write to it.
    """
    xp = namespace(like, argument="like")
    single = like.dtype == xp.float32 or like.dtype == xp.complex64
    if host.dtype.kind == "c":
        host = host.astype(np.complex64 if single else np.complex128, copy=False)
    elif host.dtype.kind == "f":
        host = host.astype(np.float32 if single else np.float64, copy=False)
    if is_torch(like):
        return to_torch(host, device=like.device)
    if isinstance(like, np.ndarray):
        return host
    if array_api_compat.is_cupy_array(like):
        with like.device:
            return xp.asarray(host)
    return xp.asarray(host, device=device(like))


class HostArray:
    """A constant kept as a float64, complex128 or int64 NumPy master, lent out in any library.

    Copies are cached per library, device and precision, so a constant is moved to a GPU
    once. The cache is dropped on pickling, so an operator pickles as small as it is.

    Parameters
    ----------
    value : array or nested sequence of numbers
        Copied; real values are kept as float64, complex values as complex128.
    integer : bool, optional
        Keep the values as int64, and lend them out as that: for indices.
    """

    def __init__(self, value: Any, *, integer: bool = False) -> None:
        host = to_numpy(value)
        kept = np.int64 if integer else np.complex128 if host.dtype.kind == "c" else np.float64
        self.host: np.ndarray = np.array(host, dtype=kept)
        self.host.flags.writeable = False
        self._cache: dict[tuple[Any, ...], Array] = {}

    def like(self, x: Array) -> Array:
        """Return the constant in the library, on the device and in the precision of `x`."""
        key: tuple[Any, ...]
        if is_torch(x):
            key = ("torch", x.dtype, x.device)
        else:
            key = (namespace(x).__name__, str(device(x)), dtype_name(x))
        converted = self._cache.get(key)
        if converted is None:
            converted, keep = self._convert(x)
            if keep:
                self._cache[key] = converted
        return converted

    def _convert(self, x: Array) -> tuple[Array, bool]:
        if not is_torch(x):
            return from_host(self.host, x), True
        import torch

        # A tensor made in inference mode, or inside a torch.func transform, belongs to that
        # context: the first is avoided by leaving the mode, the second must not be kept.
        with torch.inference_mode(False):
            converted = from_host(self.host, x)
        inside = torch._C._functorch.maybe_current_level() is not None
        return converted, not inside

    def __getstate__(self) -> dict[str, Any]:
        return {"host": self.host}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.host = state["host"]
        self.host.flags.writeable = False
        self._cache = {}
