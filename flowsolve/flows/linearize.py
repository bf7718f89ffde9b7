"""The Jacobian of a flow map at a point, ready for many products.

A Gauss-Newton step solves a linear system by conjugate gradients and needs tens of products J v and
J^T w at one point. Forward mode repeats the map itself for each J v, and PyTorch's rule for a convolution
adds a product with the tangent of the weights, which is 0. Here the map and its reverse pass are
recorded once; J^T w runs the first record backwards, J v the second, which is linear in its cotangent
(the "double backward" trick: J v is the transpose of w -> J^T w). Each then costs one pass of
convolutions, as the map does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..ambient import undisturbed
from ..errors import ArgumentError
from ..operators.autograd import linear_call
from .memory import recording

Outputs = Tensor | tuple[Tensor, ...]


class Linearized:
    """A differentiable map of a batch, and products with its Jacobian at one point.

    Parameters
    ----------
    function : callable
        Tensor to tensor or tuple of tensors, such as ``prior.encode`` or ``prior.decode``. Images of
        a batch must not influence each other, so that J is block-diagonal and every product
        is taken per image.
    point : Tensor
        Where to linearise, any shape the function takes.

    Attributes
    ----------
    value : Tensor or tuple of Tensor
        ``function(point)``, detached.

    Raises
    ------
    ArgumentError
        If `point` is not a floating-point tensor.

    Notes
    -----
    Holds the activations of one forward pass, and of one reverse pass once :meth:`jvp` is used, until it
    is deleted, whatever the flow's ``memory`` is. It records with ``torch.autograd`` and so cannot be made
    inside of ``torch.func`` transforms; :func:`~flowsolve.flows.derivatives.jvp` and
    :func:`~flowsolve.flows.derivatives.vjp` can.
    """

    @undisturbed
    def __init__(self, function: Callable[[Tensor], Outputs], point: Tensor) -> None:
        if not (isinstance(point, Tensor) and point.is_floating_point()):
            given = point.dtype if isinstance(point, Tensor) else type(point).__name__
            raise ArgumentError("point", given, "a torch tensor of floating-point numbers")
        self._leaf = point.detach().clone().requires_grad_()
        with torch.enable_grad(), recording(), ConstantWeights():
            outputs = function(self._leaf)
        self._single = isinstance(outputs, Tensor)
        self._outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        detached = tuple(output.detach() for output in self._outputs)
        self.value: Any = detached[0] if self._single else detached

    @undisturbed
    def vjp(self, cotangent: Tensor | tuple[Tensor | None, ...]) -> Tensor:
        """Return J^T w.

        Parameters
        ----------
        cotangent : Tensor or tuple of Tensor or None
            w, structure and shapes of :attr:`value`; None stands for zeros.

        Returns
        -------
        Tensor
            Shape of the point.

        Raises
        ------
        ArgumentError
            If the cotangent has another structure, shape, dtype or device.
        """
        cotangents = (cotangent,) if isinstance(cotangent, Tensor) else tuple(cotangent)
        if len(cotangents) != len(self._outputs):
            raise ArgumentError("cotangent", f"{len(cotangents)} tensors", f"{len(self._outputs)}")
        for given, output in zip(cotangents, self._outputs, strict=True):
            if given is not None:
                require_like("cotangent", given, output)
        return self._pull(cotangents, create_graph=False)

    @undisturbed
    def jvp(self, tangent: Tensor) -> Any:
        """Return J v.

        Parameters
        ----------
        tangent : Tensor
            v, shape of the point.

        Returns
        -------
        Tensor or tuple of Tensor
            Structure and shapes of :attr:`value`.

        Raises
        ------
        ArgumentError
            If the tangent has another shape, dtype or device.
        """
        require_like("tangent", tangent, self._leaf)
        cotangents, pulled = self._transpose
        if not pulled.requires_grad:
            products = tuple(torch.zeros_like(w) for w in cotangents)
        else:
            products = torch.autograd.grad(
                pulled, cotangents, tangent, retain_graph=True, materialize_grads=True
            )
        return products[0] if self._single else products

    @cached_property
    def _transpose(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """Cotangents w (zeros; J^T w is linear in them) and the recorded J^T w."""
        cotangents = tuple(torch.zeros_like(output).requires_grad_() for output in self._outputs)
        with torch.enable_grad(), recording(), ConstantWeights():
            return cotangents, self._pull(cotangents, create_graph=True)

    def _pull(self, cotangents: tuple[Tensor | None, ...], create_graph: bool) -> Tensor:
        pairs = zip(self._outputs, cotangents, strict=True)
        # An output that does not depend on the point, as a constant log-determinant, adds nothing.
        kept = [(output, w) for output, w in pairs if w is not None and output.requires_grad]
        if not kept:
            return torch.zeros_like(self._leaf)
        outputs, given = zip(*kept, strict=True)
        (product,) = torch.autograd.grad(
            outputs,
            self._leaf,
            given,
            retain_graph=True,
            create_graph=create_graph,
            materialize_grads=True,
        )
        return product


class ConstantWeights(TorchFunctionMode):
    """Within it a 2-D convolution by weights that need no gradient is a linear map of its input.

    PyTorch records a convolution as bilinear in input and weight. Told that it is linear, autograd
    differentiates it twice with one convolution instead of three.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d and len(args) >= 2 and set(kwargs) <= {"bias", "padding"}:
            return _convolve(*args, **kwargs)
        return func(*args, **kwargs)


def _convolve(h: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, padding: Any = 0) -> Tensor:
    variable = weight.requires_grad or (bias is not None and bias.requires_grad)
    if rest or variable or h.ndim != 4:
        return F.conv2d(h, weight, bias, *rest, **({} if rest else {"padding": padding}))

    def forward(a: Tensor) -> Tensor:
        return F.conv2d(a.flatten(0, -4), weight, padding=padding).unflatten(0, a.shape[:-3])

    def adjoint(a: Tensor) -> Tensor:
        return F.conv_transpose2d(a.flatten(0, -4), weight, padding=padding).unflatten(0, a.shape[:-3])

    out = linear_call(forward, adjoint, h)
    return out if bias is None else out + bias.view(-1, 1, 1)


def require_like(name: str, given: object, like: Tensor) -> None:
    """Raise `ArgumentError` unless `given` is a tensor of the shape, dtype and device of `like`.

    Parameters
    ----------
    name : str
        The argument's name.
    given : object
        What was given for it.
    like : Tensor
        What it has to resemble.
    """
    accepted = f"a torch.Tensor of shape {tuple(like.shape)}, {like.dtype}, on {like.device}"
    if not isinstance(given, Tensor):
        raise ArgumentError(name, type(given).__name__, accepted)
    if (given.shape, given.dtype, given.device) != (like.shape, like.dtype, like.device):
        raise ArgumentError(name, f"shape {tuple(given.shape)}, {given.dtype}, on {given.device}", accepted)
