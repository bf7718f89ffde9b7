"""A prior around a network or a function of somebody else's, which goes in unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from typing_extensions import Self

from ..errors import ArgumentError
from .base import Prior
from .card import PriorCard
from .identity import fingerprint
from .placement import checked_device, checked_dtype


class WrappedPrior(Prior):
    """A prior whose work is done by a network or a function.

    Parameters
    ----------
    function : torch.nn.Module or callable
        A network is copied, put into evaluation mode and moved to `device` and `dtype`; a function is called
        as it is.
    name : str, optional
        What to call the prior; the name of the function or its class unless given.
    channels, size : int and (int, int), optional
        What its images must have; anything unless given.
    device, dtype
        Where and in what to compute; ``torch.float32`` or ``torch.float64``.
    source, card
        See `Prior`.
    sha256 : str, optional
        What tells this prior from others; unless given, from the network's weights or the function's source
        (`flowsolve.priors.identity`).

    Raises
    ------
    ArgumentError
        If `function` cannot be called, or the device or dtype is none.
    """

    #: What the function is called in messages.
    argument = "function"

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        channels: int | None = None,
        size: tuple[int, int] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        source: str | None = None,
        card: PriorCard | None = None,
        sha256: str | None = None,
    ) -> None:
        if not callable(function):
            raise ArgumentError(self.argument, type(function).__name__, "a torch.nn.Module or a function")
        kind = type(function)
        named = getattr(function, "__name__", kind.__name__) if name is None else name
        super().__init__(name=named, channels=channels, size=size, source=source, card=card)
        # A copy of a network as it was given: training it further changes nothing here.
        self._given = copy.deepcopy(function) if isinstance(function, nn.Module) else function
        self._sha256 = _checked_hash(sha256)
        self._device, self._dtype = checked_device(device), checked_dtype(dtype)
        self._function = _placed(self._given, self._device, self._dtype)

    @property
    def function(self) -> Callable[..., Any]:
        """What does the work, on the device of this prior."""
        return self._function

    @property
    def sha256(self) -> str:
        """SHA-256 of network or function and of what else decides the numbers."""
        if self._sha256 is None:
            self._sha256 = fingerprint(self._given, self._identity())
        return self._sha256

    def _identity(self) -> dict[str, Any]:
        """Return what beside the function tells the prior from another one."""
        return {"kind": self.kind}

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of images."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """The device of images."""
        return self._device

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return this prior on another device or in another dtype; a network is moved, a function is not.

        Raises
        ------
        ArgumentError
            If the device is not there, or the dtype is another one.
        """
        other = copy.copy(self)
        other._sha256 = self.sha256
        other._device = self._device if device is None else checked_device(device)
        other._dtype = self._dtype if dtype is None else checked_dtype(dtype)
        other._place()
        return other

    def _place(self) -> None:
        self._function = _placed(self._given, self._device, self._dtype)


def _placed(function: Callable[..., Any], device: torch.device, dtype: torch.dtype) -> Callable[..., Any]:
    """Return a network on a device, frozen; a function as it is."""
    if not isinstance(function, nn.Module):
        return function
    # From what was given, so that float64 is never reached by way of float32.
    return copy.deepcopy(function).eval().requires_grad_(False).to(device=device, dtype=dtype)


def _checked_hash(sha256: str | None) -> str | None:
    if sha256 is not None and not (len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")):
        raise ArgumentError("sha256", repr(sha256), "64 hexadecimal digits")
    return sha256
