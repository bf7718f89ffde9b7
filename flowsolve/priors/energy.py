"""An energy as a prior: any network or function that maps images to one number each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..ambient import undisturbed
from ..errors import ArgumentError
from .base import Prior
from .terms import ImageTerm, register_prior_term
from .wrapped import WrappedPrior


class EnergyPrior(WrappedPrior):
    """A prior by its energy g(x), taken as the negative log-density up to a constant.

    Parameters
    ----------
    g : torch.nn.Module or callable
        Maps images (N, C, H, W) to one number each, (N,) or (N, 1), each from its own image alone.
        Differentiable by torch, twice for no solver.
    **options
        ``name``, ``channels``, ``size``, ``device``, ``dtype``, ``source``, ``card``, ``sha256``: see
        `flowsolve.priors.wrapped.WrappedPrior`.

    Notes
    -----
    In an objective its prior term is φ = g, ``phi="energy"``; with ``lam="map"`` the weight is σ², at which
    F is proportional to the negative log-posterior. It has no latents, so there is no synthesis.

    Examples
    --------
    >>> def roughness(x):
    ...     return 50 * (x[..., 1:] - x[..., :-1]).square().sum((1, 2, 3))
    >>> prior = EnergyPrior(roughness)
    >>> prior.energy(torch.zeros(2, 3, 8, 8))
    tensor([0., 0.], dtype=torch.float64)
    """

    kind: ClassVar[str] = "energy"
    default_phi: ClassVar[str] = "energy"
    argument = "g"

    def __init__(self, g: Callable[[Tensor], Tensor], **options: Any) -> None:
        super().__init__(g, **options)

    def energy(self, x: Tensor) -> Tensor:
        """Return g of images (N, C, H, W), shape (N,), float64, differentiable.

        Raises
        ------
        ArgumentError
            If `g` does not return one number an image.
        """
        self.check_image(x)
        value = self.function(x)
        if not isinstance(value, Tensor) or value.numel() != len(x):
            given = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ArgumentError(
                "g", f"a function that returns {given} for {len(x)} images", f"one of ({len(x)},)"
            )
        return value.reshape(len(x)).double()


@register_prior_term("energy")
class EnergyTerm(ImageTerm):
    """g(x) of an `EnergyPrior`."""

    prior: EnergyPrior

    @classmethod
    def suits(cls, prior: Prior) -> bool:
        """Return whether the prior is an energy."""
        return isinstance(prior, EnergyPrior)

    def map_weight(self, sigma: float) -> float:
        """Return σ²: g is the negative log-density itself, not twice of it."""
        return sigma**2

    @undisturbed
    def evaluate(self, x: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Return g(x) and its gradient by autograd."""
        leaf = x.detach().clone().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            value = self.prior.energy(leaf)
        if not gradient:
            return value.detach(), None
        if not value.requires_grad:
            raise ArgumentError(
                "g", "a function that torch cannot differentiate", "one made of torch operations"
            )
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]
