"""Prior terms φ by name: value, gradient, proximal step and curvature of each, in one place.

An objective is F = data term + lam φ. What φ is made of decides what a term has to say. A `LatentTerm` is a
function of the standardised latent of a flow, to which the log-determinant may be added; an `ImageTerm` is
what another kind of prior says of images. One of your own is a subclass and a registration::

    @register_prior_term("spread")
    class Spread(LatentTerm):
        def value(self, z, sizes):
            return z.abs().sum(-1, dtype=torch.float64)

and ``phi="spread"`` is then what every objective, solver, record and study takes. Only the value is needed:
the gradient comes from autograd unless it is given, and what needs a proximal step or a curvature refuses a
term that has none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ..errors import ArgumentError, UnsupportedError
from ..registry import Registry

if TYPE_CHECKING:
    from .base import Prior

IMAGES, LATENTS = "images", "latents"
"""The two spaces that an objective's variable may be of."""


class PriorTerm(ABC):
    """A prior term, without its weight.

    Attributes
    ----------
    name : str
        What it is registered under.
    spaces : tuple of str
        Variables of the objectives that have the term.
    has_value, has_gradient : bool
        Whether φ has a value that can be computed, and a gradient. A denoiser may stand for a gradient that
        is that of no function, or for a proximal step alone.
    """

    name: ClassVar[str] = ""
    spaces: ClassVar[tuple[str, ...]] = (IMAGES,)
    has_value: bool = True
    has_gradient: bool = True

    @classmethod
    @abstractmethod
    def suits(cls, prior: Prior) -> bool:
        """Return whether a prior has this term."""

    @abstractmethod
    def has_prox(self) -> bool:
        """Return whether φ has a proximal step of its own."""

    def map_weight(self, sigma: float) -> float:
        """Return the weight at which F is proportional to the negative log-posterior for noise of σ > 0."""
        return sigma**2 / 2


class LatentTerm(PriorTerm):
    """A term ψ(z) of the standardised latent of a flow: φ(x) = ψ(E(x)), with 2 log|det J| added if asked for.

    Attributes
    ----------
    needs_log_det : bool
        Whether φ(x) = ψ(E(x)) − 2 log|det J_E(x)|.
    eases_images : bool
        Whether F over images is well enough conditioned that descents begin there whatever is measured.
    """

    spaces: ClassVar[tuple[str, ...]] = (IMAGES, LATENTS)
    needs_log_det: ClassVar[bool] = False
    eases_images: ClassVar[bool] = True

    @classmethod
    def suits(cls, prior: Prior) -> bool:
        """Return whether the prior has latents."""
        return prior.has_latents

    def has_prox(self) -> bool:
        """Return whether ψ has a proximal step over latents."""
        return type(self).prox is not LatentTerm.prox

    def has_curvature(self) -> bool:
        """Return whether ψ has a Gauss-Newton matrix."""
        return type(self).curvature is not LatentTerm.curvature

    @abstractmethod
    def value(self, z: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return ψ(z) without the share of the log-determinant.

        Parameters
        ----------
        z : Tensor
            Standardised latents (..., n).
        sizes : sequence of int
            Number of values in each level's latent, finest first, as ``FlowPrior.latent_sizes`` gives them.

        Returns
        -------
        Tensor
            Shape (...), summed in float64, differentiable.
        """

    def grad(self, z: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return ∇ψ(z), of the shape and dtype of z."""
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            return torch.autograd.grad(self.value(leaf, sizes).sum(), leaf)[0]

    def prox(self, v: Tensor, sizes: Sequence[int], tau: Tensor) -> Tensor:
        """Return argmin over z of tau ψ(z) + ½‖z − v‖².

        Parameters
        ----------
        v : Tensor
            Points (N, n).
        sizes : sequence of int
            As for `value`.
        tau : Tensor, shape (N,), float64
            Step times weight, >= 0, of each image.

        Raises
        ------
        UnsupportedError
            If the term has none.
        """
        raise UnsupportedError(f"prox: the prior term {self.name!r} has no proximal step over latents")

    def curvature(self, z: Tensor, v: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return G v, G the Gauss-Newton matrix of ψ at z: positive semidefinite, exact where ψ is quadratic.

        Raises
        ------
        UnsupportedError
            If the term has none.
        """
        raise UnsupportedError(f"curvature: the prior term {self.name!r} has no Gauss-Newton matrix")


class ImageTerm(PriorTerm):
    """A term φ(x) that a prior says of images themselves.

    Parameters
    ----------
    prior : Prior
        Whose term it is.

    Attributes
    ----------
    prox_name : str
        What a split that takes the proximal step of φ is called.
    """

    prox_name: ClassVar[str] = "prior-prox"

    def __init__(self, prior: Any) -> None:
        self.prior = prior

    @abstractmethod
    def evaluate(self, x: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Return φ(x), shape (N,), float64, NaN where it has no value, and the gradient if asked for."""

    def has_prox(self) -> bool:
        """Return whether `prox` is the term's own."""
        return type(self).prox is not ImageTerm.prox

    def prox(self, v: Tensor, tau: Tensor) -> Tensor:
        """Return argmin over x of tau φ(x) + ½‖x − v‖², or what stands for it.

        Parameters
        ----------
        v : Tensor
            Images (N, C, H, W).
        tau : Tensor, shape (N,), float64
            Step times weight, > 0, of each image.

        Raises
        ------
        UnsupportedError
            If the term has none.
        """
        raise UnsupportedError(f"prox: the prior term {self.name!r} has no proximal step of its own")


registry: Registry[type[PriorTerm]] = Registry("prior term", "flowsolve.prior_terms")


def register_prior_term(name: str) -> Any:
    """Return a decorator that registers a `PriorTerm` under a name, which it takes as its `name`."""

    def store(cls: type[PriorTerm]) -> type[PriorTerm]:
        cls.name = name
        return registry.register(name)(cls)

    return store


def names_of(space: str, kind: type[Any] = PriorTerm) -> tuple[str, ...]:
    """Return the names of the terms, of a kind, that objectives over `space` have, flows' own first."""
    own = [name for name in ("latent", "nll", "typical") if name in registry]
    named = own + [name for name in registry if name not in own]
    return tuple(
        name for name in named if issubclass(registry.get(name), kind) and space in registry.get(name).spaces
    )


def of_latents(name: str) -> LatentTerm:
    """Return the term of a name that is a function of latents.

    Raises
    ------
    ArgumentError
        If there is none; the message lists those there are.
    """
    known = names_of(LATENTS, LatentTerm)
    if name not in known:
        raise ArgumentError("phi", repr(name), " or ".join(map(repr, known)))
    term = registry.get(name)()
    assert isinstance(term, LatentTerm)
    return term
