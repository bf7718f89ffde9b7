"""A denoiser as a prior: by its residual as a gradient (RED), or as a proximal step (plug-and-play).

Regularisation by denoising (Romano, Elad & Milanfar, "The little engine that could", SIAM J. Imaging
Sciences 2017) takes x − D(x, σ) for the gradient of the prior term. It is one only if D has a symmetric
Jacobian, which few denoisers have (Reehorst & Schniter, "Regularization by denoising: clarifications and new
interpretations", IEEE TCI 2019): then F has no value, and what a solver looks for is a fixed point.
Plug-and-play (Venkatakrishnan, Bouman & Wohlberg, GlobalSIP 2013) puts D in place of a proximal step. A
proximal step of length τ on lam φ, φ = −2 log p, is the most likely image behind Gaussian noise of variance
s² = 2 lam τ, so D is asked for that σ = s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..ambient import undisturbed
from ..errors import ArgumentError
from .base import Prior
from .identity import fingerprint
from .terms import ImageTerm, register_prior_term
from .wrapped import WrappedPrior

HOMOGENEOUS = "homogeneous"
"""The potential of a denoiser with D(c x) = c D(x) near c = 1 and a symmetric Jacobian."""


class DenoiserPrior(WrappedPrior):
    """A prior by a denoiser D(x, σ).

    Parameters
    ----------
    denoiser : torch.nn.Module or callable
        ``denoiser(x, sigma)`` maps noisy images (N, C, H, W) in [0, 1] and the deviation of their noise, a
        float, to images: the convention of deepinv. For functions of NumPy arrays see
        `flowsolve.priors.on_numpy`.
    sigma : float, optional
        The level that D is asked for. ``phi="red"`` needs one; without one ``phi="pnp"`` asks for that of the
        proximal step, √(2 lam τ), which `hqs` and `admm` lower from step to step.
    potential : callable or "homogeneous", optional
        A function P of images (N, C, H, W), one number each, whose gradient x − D(x, `sigma`) is, as of a
        gradient-step denoiser; ``homogeneous`` stands for ½⟨x, x − D(x)⟩ (RED's own conditions). Without one
        the term ``red`` has no value.
    **options
        ``name``, ``channels``, ``size``, ``device``, ``dtype``, ``source``, ``card``, ``sha256``: see
        `flowsolve.priors.wrapped.WrappedPrior`.

    Raises
    ------
    ArgumentError
        If `sigma` is not positive, or there is a potential without a level.

    Notes
    -----
    Prior terms in an objective: ``red``, whose gradient is x − D(x, σ), the default where `sigma` is given;
    and ``pnp``, which has a proximal step only. With ``lam="map"`` the weight is (σ of the noise)² / sigma²
    for ``red``, which is the posterior's by Tweedie's formula, and (σ of the noise)² / 2 for ``pnp``.

    Examples
    --------
    >>> def blur(x, sigma):
    ...     return torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    >>> prior = DenoiserPrior(blur, sigma=0.1)
    >>> prior.denoise(torch.ones(1, 3, 8, 8), 0.1).shape
    torch.Size([1, 3, 8, 8])
    """

    kind: ClassVar[str] = "denoiser"
    argument = "denoiser"

    def __init__(
        self,
        denoiser: Callable[..., Any],
        *,
        sigma: float | None = None,
        potential: Callable[[Tensor], Tensor] | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(denoiser, **options)
        if sigma is not None and not (isinstance(sigma, int | float) and 0 < sigma < math.inf):
            raise ArgumentError("sigma", repr(sigma), "a number > 0, or None")
        if potential is not None and not callable(potential) and potential != HOMOGENEOUS:
            raise ArgumentError(
                "potential", repr(potential), f"a function of images, {HOMOGENEOUS!r}, or None"
            )
        if potential is not None and sigma is None:
            raise ArgumentError("sigma", None, "the level at which the potential is that of the denoiser")
        self.sigma = None if sigma is None else float(sigma)
        self.potential = potential

    @property
    def default_phi(self) -> str:  # type: ignore[override]
        """``red`` where there is a level, else ``pnp``."""
        return "pnp" if self.sigma is None else "red"

    def settings(self) -> dict[str, Any]:
        """Return the kind and the level."""
        return super().settings() | {"sigma": self.sigma, "has_potential": self.potential is not None}

    def _identity(self) -> dict[str, Any]:
        own = None if self.potential is None else fingerprint(self.potential)
        return super()._identity() | {"sigma": self.sigma, "potential": own}

    @undisturbed
    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return D(x, sigma) of images (N, C, H, W), without a graph.

        Raises
        ------
        ArgumentError
            If the denoiser does not return images of this shape.
        """
        self.check_image(x)
        with torch.no_grad():
            out = self.function(x.detach(), sigma)
        if not isinstance(out, Tensor) or out.shape != x.shape:
            given = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            accepted = f"images like those it is given, of shape {tuple(x.shape)}"
            raise ArgumentError("denoiser", f"a function that returns {given}", accepted)
        return out.to(x)

    def denoise_each(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D of images, each at its own level, sigma of shape (N,): those of one level in one call."""
        levels = sigma.double().tolist()
        if len(set(levels)) == 1:
            return self.denoise(x, levels[0])
        out = torch.empty_like(x)
        for level in sorted(set(levels)):
            rows = torch.tensor([i for i, own in enumerate(levels) if own == level], device=x.device)
            out[rows] = self.denoise(x[rows], level)
        return out


class _DenoiserTerm(ImageTerm):
    """What a denoiser says of images."""

    prior: DenoiserPrior
    prox_name: ClassVar[str] = "denoiser"

    @classmethod
    def suits(cls, prior: Prior) -> bool:
        """Return whether the prior is a denoiser."""
        return isinstance(prior, DenoiserPrior)


@register_prior_term("red")
class RegularisationByDenoising(_DenoiserTerm):
    """x − D(x, σ) as the gradient (Romano, Elad & Milanfar, 2017); a value only where D has a potential."""

    def __init__(self, prior: DenoiserPrior) -> None:
        super().__init__(prior)
        self.has_value = prior.potential is not None

    @classmethod
    def suits(cls, prior: Prior) -> bool:
        """Return whether the prior is a denoiser that has a level."""
        return isinstance(prior, DenoiserPrior) and prior.sigma is not None

    def map_weight(self, sigma: float) -> float:
        """Return σ² / s²: (x − D(x, s)) / s² is the gradient of −log p smoothed by s (Tweedie)."""
        assert self.prior.sigma is not None
        return (sigma / self.prior.sigma) ** 2

    def evaluate(self, x: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Return the potential, NaN where there is none, and x − D(x, σ)."""
        assert self.prior.sigma is not None
        potential = self.prior.potential
        away = x - self.prior.denoise(x, self.prior.sigma) if gradient or potential == HOMOGENEOUS else None
        if potential is None:
            value = torch.full((len(x),), torch.nan, dtype=torch.float64, device=x.device)
        elif callable(potential):
            with torch.no_grad():
                value = potential(x.detach()).reshape(len(x)).double()
        else:
            assert away is not None
            value = 0.5 * (x * away).flatten(1).sum(1, dtype=torch.float64)
        return value, away if gradient else None


@register_prior_term("pnp")
class PlugAndPlay(_DenoiserTerm):
    """D as the proximal step (Venkatakrishnan, Bouman & Wohlberg, 2013): neither value nor gradient."""

    has_value = False
    has_gradient = False

    def evaluate(self, x: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Return NaN: the term has no value."""
        return torch.full((len(x),), torch.nan, dtype=torch.float64, device=x.device), None

    def prox(self, v: Tensor, tau: Tensor) -> Tensor:
        """Return D(v, σ), σ the prior's level, or √(2 tau) where it has none."""
        if self.prior.sigma is not None:
            return self.prior.denoise(v, self.prior.sigma)
        return self.prior.denoise_each(v, (2 * tau).sqrt())
