"""Modes of torch that hold for all code of a thread, and must not change what is computed here.

Under autocast, torch runs matrix products and convolutions in 16 bits and leaves other operations as they
are: an operator would no longer be linear to rounding nor its adjoint its adjoint, and a line search would
look for decrease below the noise. In inference mode nothing can be differentiated, which descent needs. A
default device takes what is made on the way from where the images are. What is called from within such a mode
therefore computes as if outside; what precision to compute in is said by the dtype of the images, and by the
prior's ``coupling_dtype``.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .arrays import is_torch

DEVICES = ("cpu", "cuda")
"""Kinds of devices on which the library computes, each of which has an autocast of its own."""

Function = TypeVar("Function", bound=Callable[..., Any])


def disturbed() -> bool:
    """Return whether such a mode is on."""
    import torch

    if any(map(torch.is_autocast_enabled, DEVICES)) or _elsewhere():
        return True
    # Of inference mode torch.compile knows nothing, and its graphs do not run in it.
    return not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Within it, no such mode is on."""
    import torch

    with contextlib.ExitStack() as stack:
        for device in DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if _elsewhere():
            stack.enter_context(torch.device("cpu"))
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            # Leaving the mode alone would turn gradients on, which nobody in it has asked for.
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        yield


def _elsewhere() -> bool:
    """Return whether tensors are made on another device than the CPU unless a device is given."""
    import torch

    # A default device is one of the modes of this stack, which is empty as a rule; asking for it is slow.
    if torch.compiler.is_compiling() or not torch._C._len_torch_function_stack():
        return False
    return torch.get_default_device().type != "cpu"


def plain(tensor: Any) -> Any:
    """Return a tensor without its graph, and outside of inference mode."""
    import torch

    if not tensor.is_inference():
        return tensor.detach()
    with torch.inference_mode(False), torch.no_grad():
        return tensor.clone()


def undisturbed(function: Function) -> Function:
    """Return the function as it computes while none of these modes is on, whatever the caller has on."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if not disturbed():
            return function(*args, **kwargs)
        with calm():
            usable = {name: _usable(value) for name, value in kwargs.items()}
            return function(*map(_usable, args), **usable)

    return guarded  # type: ignore[return-value]


def tensors_undisturbed(function: Function) -> Function:
    """Return :func:`undisturbed` of a function of arrays of any library; only tensors import torch."""
    inner = undisturbed(function)

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        chosen = inner if any(map(is_torch, (*args, *kwargs.values()))) else function
        return chosen(*args, **kwargs)

    return guarded  # type: ignore[return-value]


def _usable(value: Any) -> Any:
    # A tensor of inference mode cannot be differentiated even outside of it.
    return plain(value) if is_torch(value) and value.is_inference() else value
