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


class _Linear(torch.autograd.Function):
    """A linear map of one tensor, given as raw functions that take any leading axes."""

    @staticmethod
    def forward(x: torch.Tensor, forward_map: Callable, adjoint_map: Callable) -> torch.Tensor:
        return forward_map(x)

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


def needs_rule(x: torch.Tensor) -> bool:
    """Return whether a map of `x` may be differentiated, or mapped, so that it needs its rules.

    Where it is not, the raw map gives the same tensor without the cost of recording it.
    """
    if x.requires_grad and torch.is_grad_enabled():
        return True
    if getattr(forward_ad, "_current_level", 0) >= 0:
        return True
    return torch._C._functorch.maybe_current_level() is not None
