"""Derivatives of the flow and of its energies, for each image, through ``torch.func``.

Every function takes any leading (batch) dimensions. Images of a batch do not influence each other:
Jacobians and Hessians are block-diagonal, and a product is that of every image with its own block.
All of them may be used inside of ``torch.func`` transforms, so that ``vmap`` over them, or
derivatives of theirs, are right too. For tens of products at one point there is the quicker
:class:`~flowsolve.flows.linearize.Linearized`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..ambient import undisturbed
from ..errors import ArgumentError
from ..priors.terms import of_latents
from .linearize import require_like
from .prior import FlowPrior

OVER = ("images", "latents")
"""The variables that an energy may be a function of."""

_FORWARD_MODE = threading.RLock()
"""Torch has one stack of forward-mode levels for all threads: passes in two of them end each other's."""


@undisturbed
def jvp(function: Callable[[Tensor], Any], point: Tensor, tangent: Tensor) -> tuple[Any, Any]:
    """Return a map's value and J v, in one forward-mode pass.

    Parameters
    ----------
    function : callable
        Tensor to tensor or tuple of tensors, such as ``prior.encode`` or ``prior.decode``.
    point : Tensor
        Where, any shape the function takes.
    tangent : Tensor
        v, of the shape, dtype and device of the point.

    Returns
    -------
    value, product
        ``function(point)`` and J v, alike in structure.

    Raises
    ------
    ArgumentError
        If the tangent does not fit the point.
    """
    require_like("tangent", tangent, point)
    # What torch declares leaves open that auxiliary outputs may follow.
    with _FORWARD_MODE:
        pair: Any = torch.func.jvp(function, (point,), (tangent,))
    value, product = pair
    return value, product


@undisturbed
def vjp(function: Callable[[Tensor], Any], point: Tensor, cotangent: Any) -> tuple[Any, Tensor]:
    """Return a map's value and J^T w, in one pass there and back.

    Parameters
    ----------
    function, point
        As for :func:`jvp`.
    cotangent : Tensor or tuple of Tensor
        w, of the structure, shapes, dtype and device of the value.

    Returns
    -------
    value : Tensor or tuple of Tensor
        ``function(point)``.
    product : Tensor
        J^T w, of the shape of the point.

    Raises
    ------
    ArgumentError
        If the cotangent does not fit the value.
    """
    value, pull = _pullback(function, point)
    outputs = (value,) if isinstance(value, Tensor) else tuple(value)
    given = (cotangent,) if isinstance(cotangent, Tensor) else tuple(cotangent)
    if len(given) != len(outputs):
        raise ArgumentError("cotangent", f"{len(given)} tensors", f"{len(outputs)}")
    for w, output in zip(given, outputs, strict=True):
        require_like("cotangent", w, output)
    (product,) = pull(given[0] if isinstance(value, Tensor) else given)
    return value, product


class Energy:
    """An energy of a prior as a function of images or of latents, with its derivatives.

    Parameters
    ----------
    prior : FlowPrior
        The prior.
    phi : str
        Which energy: ``nll``, ``latent``, ``typical`` or another term of latents; see
        :meth:`FlowPrior.energy`.
    over : {"images", "latents"}
        phi(x) of images (..., C, H, W), or psi(z) = phi(D(z)) of latents (..., n).

    Raises
    ------
    ArgumentError
        If `phi` or `over` is another name.

    Notes
    -----
    ``typical`` is summed over each image in float64; all results have the prior's dtype. For many
    products with one Hessian, ``Linearized(energy.grad, point).vjp(v)`` is quicker than
    :meth:`hessian_vector`, the Hessian being symmetric.

    Examples
    --------
    >>> from flowsolve.flows import load_prior
    >>> energy = Energy(load_prior("faces64"), phi="nll")
    >>> value, gradient = energy.value_and_grad(torch.full((2, 3, 64, 64), 0.5))
    >>> value.shape, gradient.shape
    (torch.Size([2]), torch.Size([2, 3, 64, 64]))
    """

    def __init__(self, prior: FlowPrior, phi: str = "nll", over: str = "images") -> None:
        if over not in OVER:
            raise ArgumentError("over", repr(over), " or ".join(map(repr, OVER)))
        self.prior, self.phi, self.over, self.term = prior, phi, over, of_latents(phi)

    def value(self, point: Tensor) -> Tensor:
        """Return the energies (...) of images (..., C, H, W) or latents (..., n)."""
        if self.over == "images":
            return self.prior.energy(point, self.phi)
        if self.term.needs_log_det:
            return self.prior.latent_energy(point, self.phi)[1]
        # Without the log-determinant an energy of latents needs no pass through the flow.
        self.prior.split_latent(point)
        return self.term.value(point, self.prior.latent_sizes).to(point.dtype)

    @undisturbed
    def value_and_grad(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Return the energies (...) and the gradient of each, of the point's shape."""
        value, pull = _pullback(self.value, point)
        return value, pull(torch.ones_like(value))[0]

    def grad(self, point: Tensor) -> Tensor:
        """Return the gradient, of the point's shape."""
        return self.value_and_grad(point)[1]

    @undisturbed
    def hessian_vector(self, point: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient and the exact product of the Hessian with a vector.

        Parameters
        ----------
        point : Tensor
            Images or latents.
        v : Tensor
            Of the same shape, dtype and device.

        Returns
        -------
        grad, product : Tensor
            Of the point's shape; forward mode over the reverse pass, about three times the cost of
            the gradient alone. ReLUs are taken to have no curvature at 0.

        Raises
        ------
        ArgumentError
            If v does not fit the point.
        """
        return jvp(self.grad, point, _vector(v, point))

    @undisturbed
    def gauss_newton_vector(self, point: Tensor, v: Tensor) -> Tensor:
        """Return the product of the Gauss-Newton matrix J^T G J with a vector.

        J is the Jacobian of the latent (that of E over images, the identity over latents) and G that
        of `LatentTerm.curvature`: 2 I, but for ``typical``. The curvature of log|det J|, of which
        ``nll`` is made too, is dropped: it is not a square, and may be negative.

        Parameters
        ----------
        point, v : Tensor
            As for :meth:`hessian_vector`.

        Returns
        -------
        Tensor
            Of the point's shape.

        Raises
        ------
        ArgumentError
            If v does not fit the point.
        """
        _vector(v, point)
        if self.over == "latents":
            self.prior.split_latent(point)
            return self.term.curvature(point, v, self.prior.latent_sizes)
        z, pushed = jvp(self.prior.encode, point, v)
        sizes = self.prior.at_size(point.shape[-2], point.shape[-1]).latent_sizes
        return vjp(self.prior.encode, point, self.term.curvature(z, pushed, sizes))[1]


def _pullback(function: Callable[[Tensor], Any], point: Tensor) -> tuple[Any, Callable[..., Any]]:
    pair: Any = torch.func.vjp(function, point)
    value, pull = pair
    return value, pull


def _vector(v: Tensor, point: Tensor) -> Tensor:
    require_like("v", v, point)
    return v
