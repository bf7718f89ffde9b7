"""Checks of arguments that the operators share, with messages that name the argument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..arrays import Array, check_float, device, from_host, is_torch, namespace, to_numpy
from ..errors import ArgumentError


def as_shape(value: Any, argument: str, ndim: int | None = None) -> tuple[int, ...]:
    """Return `value` as a tuple of positive integers.

    Raises
    ------
    ArgumentError
        If it is not a sequence of positive integers, or not `ndim` of them.
    """
    accepted = "a shape (C, H, W) of positive integers" if ndim == 3 else "a tuple of positive integers"
    items = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    if items is None or not items or (ndim is not None and len(items) != ndim):
        raise ArgumentError(argument, value, accepted)
    if not all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0 for n in items):
        raise ArgumentError(argument, value, accepted)
    return tuple(int(n) for n in items)


def as_number(value: Any, argument: str, *, zero: bool = False, most: float = math.inf) -> float:
    """Return `value` as a float if it is a finite number > 0, or >= 0 with `zero`, and <= `most`.

    Raises
    ------
    ArgumentError
        If it is not.
    """
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(float(value))
    if not number or value < 0 or value > most or (value == 0 and not zero):
        accepted = f"a finite number {'>=' if zero else '>'} 0"
        if most < math.inf:
            accepted = f"a number in {'[' if zero else '('}0, {most:g}]"
        raise ArgumentError(argument, repr(value) if isinstance(value, str) else value, accepted)
    return float(value)


def as_pair(value: Any, argument: str, minimum: int = 1) -> tuple[int, int]:
    """Return an integer, or two for rows and columns, as a pair of integers >= `minimum`.

    Raises
    ------
    ArgumentError
        If it is neither, or below `minimum`.
    """
    items = (value, value) if isinstance(value, Integral) else value
    good = isinstance(items, Sequence) and not isinstance(items, str) and len(items) == 2
    if not good or not all(
        isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= minimum for n in items
    ):
        raise ArgumentError(argument, value, f"an integer >= {minimum}, or two: (rows, columns)")
    return int(items[0]), int(items[1])


def as_finite(value: Any, argument: str) -> np.ndarray:
    """Return a parameter array as float64 NumPy, refusing what is not real and finite.

    Raises
    ------
    ArgumentError
        If `value` is not numeric, is complex, is empty or has a non-finite entry.
    """
    try:
        host = to_numpy(value)
    except (TypeError, ValueError):
        host = np.asarray(None)
    if host.dtype.kind not in "fiub":
        raise ArgumentError(argument, f"dtype {host.dtype}", "an array of real numbers")
    if host.size == 0:
        raise ArgumentError(argument, f"shape {host.shape}", "an array that is not empty")
    host = host.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(host)))
    if bad:
        raise ArgumentError(argument, f"{bad} non-finite value(s)", "finite values only")
    return host


def check_array(x: Any, argument: str, shape: tuple[int, ...], n_images: int | None) -> Any:
    """Check an operand of an operator and return its namespace.

    Parameters
    ----------
    x : array
        float32 or float64, of shape ``(..., *shape)``.
    argument : str
        Name for the message.
    shape : tuple of int
        The trailing shape wanted.
    n_images : int or None
        Length that the last batch axis must have, where the operator has one parameter
        set per image.

    Raises
    ------
    ArgumentError
        If the type, dtype, trailing shape or batch axis is wrong.
    """
    xp = check_float(x, argument)
    given = tuple(x.shape)
    if given[-len(shape) :] != shape:
        meaning = " that is (..., C, H, W)" if len(shape) == 3 else ""
        accepted = f"shape (..., {_listed(shape)}){meaning}{channels_last(given, shape)}"
        raise ArgumentError(argument, f"shape {given}", accepted)
    if n_images is not None and (len(given) == len(shape) or given[-len(shape) - 1] != n_images):
        accepted = f"shape (..., {n_images}, {_listed(shape)}), as the operator is for {n_images} image(s)"
        raise ArgumentError(argument, f"shape {given}", accepted)
    return xp


def is_empty(x: Array) -> bool:
    """Return whether an operand has no images: maps of it have none either, whatever their kernels do."""
    return 0 in tuple(x.shape)


def channels_last(given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return what to do with images of shape `given` that have the channels of `shape` last, else nothing."""
    if len(shape) == 3 and given[-3:] == (*shape[1:], shape[0]):
        return "; channels come before rows and columns: numpy.moveaxis(images, -1, -3)"
    return ""


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def check_pair(v: Array, y: Array, ndim_v: int, ndim_y: int) -> None:
    """Check that two operands share library and dtype and that their batches broadcast.

    Raises
    ------
    ArgumentError
        If they do not.
    """
    namespace(v, y, argument="y")
    if v.dtype != y.dtype:
        raise ArgumentError("y", f"dtype {y.dtype}", f"the dtype of the image, {v.dtype}")
    batch_v, batch_y = tuple(v.shape)[: v.ndim - ndim_v], tuple(y.shape)[: y.ndim - ndim_y]
    try:
        np.broadcast_shapes(batch_v, batch_y)
    except ValueError:
        raise ArgumentError(
            "y", f"batch shape {batch_y}", f"one that broadcasts against the images' {batch_v}"
        ) from None


def _without_ones(
    shape: tuple[int, ...], batch: tuple[int, ...], first: Sequence[int]
) -> tuple[int, ...] | None:
    """Return a shape that broadcasts to the batch's, without trailing axes of length one, or None.

    The numbers of axes in `first` are tried first, then the fewest.
    """
    trailing = next((i for i, n in enumerate(reversed(shape)) if n != 1), len(shape))
    for count in (*(n for n in first if n <= trailing), *range(trailing + 1)):
        left = shape[: len(shape) - count]
        try:
            if np.broadcast_shapes(left, batch) == batch:
                return left
        except ValueError:
            continue
    return None


class ImageScalars:
    """A positive number, or one per image, ready to broadcast against images.

    Parameters
    ----------
    value : float or array
        A number, or an array of the batch's shape, with or without trailing axes of
        length one: as many as a measurement has, as an image has, or any other number. For a
        batch ``(N,)`` that is ``(N,)``, ``(N, 1)``, ``(N, 1, 1, 1)``, ...
    like : array
        The operand whose library, device, dtype and batch shape count.
    argument : str
        Name for the messages.
    ndim : int
        Number of axes of one image or measurement in `like`.
    other : int, optional
        Number of axes in the operator's other space. Default: `ndim`.
    infinite : bool, optional
        Whether the number ``inf`` is accepted.

    Raises
    ------
    ArgumentError
        If a value is not positive, or the shape does not fit the batch. Values on a GPU, or
        inside a torch.func transform, are not read, since that would wait for the device.
    """

    def __init__(
        self,
        value: Any,
        like: Array,
        argument: str,
        ndim: int,
        other: int | None = None,
        *,
        infinite: bool = False,
    ) -> None:
        accepted = "a number > 0" if infinite else "a finite number > 0"
        self.value: Any
        if isinstance(value, Real):
            self.value = float(value)
            if not self.value > 0 or (math.isinf(self.value) and not infinite):
                raise ArgumentError(argument, value, accepted)
            return
        if not hasattr(value, "shape"):
            raise ArgumentError(argument, type(value).__name__, accepted + ", or an array of one per image")
        array = self._move(value, like)
        batch = tuple(like.shape)[: like.ndim - ndim]
        shape = _without_ones(tuple(array.shape), batch, (ndim, ndim if other is None else other))
        if shape is None:
            raise ArgumentError(argument, f"shape {tuple(value.shape)}", f"shape {batch}, one per image")
        self.value = namespace(array).reshape(array, shape)
        self._check_values(argument)

    def over(self, ndim: int) -> Any:
        """Return the number, or the array with `ndim` more axes of length one."""
        if isinstance(self.value, float):
            return self.value
        xp = namespace(self.value)
        return xp.reshape(self.value, (*tuple(self.value.shape), *(1,) * ndim))

    @property
    def is_infinite(self) -> bool:
        """Whether this is the number infinity."""
        return isinstance(self.value, float) and math.isinf(self.value)

    @staticmethod
    def _move(value: Any, like: Array) -> Array:
        if is_torch(value) and is_torch(like):
            return value.to(device=like.device, dtype=like.dtype)
        if namespace(value) is namespace(like) and device(value) == device(like):
            return namespace(like).astype(value, like.dtype)
        return from_host(to_numpy(value).astype(np.float64), like)

    def _check_values(self, argument: str) -> None:
        if is_torch(self.value):
            import torch

            wrapped = torch._C._functorch.is_functorch_wrapped_tensor(self.value)
            if wrapped or self.value.device.type != "cpu":
                return
        elif str(device(self.value)).lower() not in ("cpu", "cpu_device"):
            return
        host = to_numpy(self.value)
        if not np.all(np.isfinite(host) & (host > 0)):
            raise ArgumentError(argument, "a value that is not finite and > 0", "finite numbers > 0")
