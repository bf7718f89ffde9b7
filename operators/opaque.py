"""Operators inside of ``torch.compile``: one operation, into which the compiler does not look.

What an operator does to a tensor may be a loop that numba compiled, a random number generator of NumPy or
another library's code, none of which torch can trace. To the compiler a map is an operation of torch that
has a shape and an adjoint; graphs do not break at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..ambient import calm
from .registration import operator_of


def _map(operator: str, transposed: bool) -> tuple[Callable[[Any], Any], tuple[int, ...], tuple[int, ...]]:
    """Return a raw map, or its adjoint, with the shapes that it takes and returns."""
    found = operator_of(operator)
    if transposed:
        return found._adjoint, found.codim_shape, found.dim_shape
    return found._apply, found.dim_shape, found.codim_shape


@torch.library.custom_op("flowsolve::linear_map", mutates_args=())
def _opaque(x: torch.Tensor, operator: str, transposed: bool) -> torch.Tensor:
    with calm():
        result = _map(operator, transposed)[0](x)
    shared = result.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    return result.clone() if shared else result.contiguous()


@_opaque.register_fake
def _(x: torch.Tensor, operator: str, transposed: bool) -> torch.Tensor:
    _, before, after = _map(operator, transposed)
    return x.new_empty((*x.shape[: x.ndim - len(before)], *after))


class _Map(torch.autograd.Function):
    """The operation with its derivatives, also for the transforms of ``torch.func``."""

    @staticmethod
    def forward(x: torch.Tensor, operator: str, transposed: bool) -> torch.Tensor:
        return _opaque(x, operator, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        _, ctx.operator, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _Map.apply(grad, ctx.operator, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, *_: None) -> torch.Tensor:
        return _Map.apply(tangent, ctx.operator, ctx.transposed)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, x: torch.Tensor, *which: Any) -> tuple[torch.Tensor, int]:
        return _Map.apply(x.movedim(in_dims[0], 0), *which), 0


@torch._dynamo.allow_in_graph
def linear_map(x: torch.Tensor, operator: str, transposed: bool) -> torch.Tensor:
    """Return A x, or Aᵀ x.

    Parameters
    ----------
    x : torch.Tensor
        Images or measurements, with any leading axes.
    operator : str
        The operator's key; see :func:`.registration.operator_of`.
    transposed : bool
        Whether to apply the adjoint.
    """
    return _Map.apply(x, operator, transposed)
