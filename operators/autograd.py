"""Gradients of linear maps by their explicit adjoint.

Differentiating through the array code of an operator would give the same numbers at more
memory; here backward *is* the adjoint, forward mode *is* the map, and both are again such
maps, so that second derivatives and every ``torch.func`` transform pass through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad

from ..ambient import calm, disturbed
from ..errors import UnsupportedError


class _Linear(torch.autograd.Function):
    """A linear map of one tensor, given as raw functions that take any leading axes."""

    @staticmethod
    def forward(x: torch.Tensor, forward_map: Callable, adjoint_map: Callable) -> torch.Tensor:
        # Also where this is the backward pass of a graph, which may run in a mode of its own.
        return _calmly(forward_map, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        _, ctx.forward_map, ctx.adjoint_map = inputs

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _Linear.apply(grad, ctx.adjoint_map, ctx.forward_map), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, *_: None) -> torch.Tensor:
        return _Linear.apply(tangent, ctx.forward_map, ctx.adjoint_map)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, x: torch.Tensor, *maps: Callable) -> tuple[torch.Tensor, int]:
        # Leading axes are batch axes already, so a mapped axis only has to move to the front.
        return _Linear.apply(x.movedim(in_dims[0], 0), *maps), 0


def linear_call(forward_map: Callable, adjoint_map: Callable, x: torch.Tensor) -> torch.Tensor:
    """Return ``forward_map(x)`` with derivatives given by `forward_map` and `adjoint_map`.

    Parameters
    ----------
    forward_map, adjoint_map : callable
        A linear map and its adjoint. Both take a tensor with any number of leading batch
        axes, may not mutate or return it, and need not be differentiable.
    x : torch.Tensor
        The operand.

    Returns
    -------
    torch.Tensor
        Differentiable any number of times, in reverse and forward mode, and under
        ``torch.func.vmap``.
    """
    return _Linear.apply(x, forward_map, adjoint_map)


@torch.compiler.disable(reason="flowsolve: an iteration looks at its residuals, which no graph can hold")
def iteration_call(forward_map: Callable, adjoint_map: Callable, x: torch.Tensor) -> torch.Tensor:
    """Return :func:`linear_call` of a map that is computed by iteration; ``torch.compile`` leaves it out."""
    return linear_call(forward_map, adjoint_map, x)


def _calmly(function: Callable, x: torch.Tensor) -> torch.Tensor:
    """Return a raw map of a tensor, whatever modes are on; what cannot take tensors is told so."""
    try:
        if disturbed():
            with calm():
                result = function(x)
        else:
            result = function(x)
    except (AttributeError, TypeError) as error:
        raise UnsupportedError(_told(function, str(error))) from error
    except RuntimeError as error:
        if "numpy()" not in str(error):
            raise
        raise UnsupportedError(_told(function, str(error))) from error
    if not isinstance(result, torch.Tensor):
        raise UnsupportedError(_told(function, f"it returned a {type(result).__name__}"))
    if result.dtype != x.dtype:
        raise UnsupportedError(_told(function, f"it returned {result.dtype} for {x.dtype}"))
    return result


def _told(function: Callable, what: str) -> str:
    owner = type(getattr(function, "__self__", function)).__name__
    return (
        f"{owner}.{getattr(function, '__name__', 'map')} does not work on torch tensors ({what}): write it "
        "in array-API code, or hand NumPy functions to flowsolve.operators.from_functions"
    )


def operator_call(operator: Any, x: torch.Tensor, transposed: bool) -> torch.Tensor:
    """Return A x, or Aᵀ x, of an operator, with derivatives where they may be asked for.

    Parameters
    ----------
    operator : LinearOperator
        The operator A.
    x : torch.Tensor
        The operand, checked already.
    transposed : bool
        Whether to apply the adjoint.
    """
    if torch.compiler.is_compiling():
        from .opaque import linear_map

        return linear_map(x, operator._key, transposed)
    there, back = operator._apply, operator._adjoint
    if transposed:
        there, back = back, there
    return linear_call(there, back, x) if needs_rule(x) else _calmly(there, x)


def _in_transform() -> bool:
    """Return whether forward mode or a transform of ``torch.func`` may be at work."""
    if getattr(forward_ad, "_current_level", 0) >= 0:
        return True
    return torch._C._functorch.maybe_current_level() is not None


def needs_rule(x: torch.Tensor) -> bool:
    """Return whether a map of `x` may be differentiated, or mapped, so that it needs its rules.

    Where it is not, the raw map gives the same tensor without the cost of recording it.
    """
    return (x.requires_grad and torch.is_grad_enabled()) or _in_transform()
