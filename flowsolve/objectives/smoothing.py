"""The ``smoothed`` prior term: the negative log-density averaged over small perturbations of the image.

The mode of a flow's density is a poor restoration: too smooth, and for ill-posed tasks L-BFGS passes better
images on its way there. What a posterior mean wants is not the density at a point but around it. Among
Gaussians N(x, s² I), the one closest to the posterior in Kullback–Leibler divergence has the mean that
minimises

    ½‖Ax − y‖² + lam φ_s(x),    φ_s(x) = mean over n ~ N(0, I) of nll(x + s n)

(the variational, or evidence, bound of Hinton & van Camp, "Keeping the neural networks simple by minimizing
the description length of the weights", COLT 1993, with a fixed deviation s; the noise adds a constant to the
data term). Its gradient is that of stochastic denoising regularisation (Renaud, Prost, Leclaire &
Papadakis, "Plug-and-Play image restoration with Stochastic deNOising REgularization", ICML 2024, eq. 5),
with the flow's own score. A flow that was trained on slightly noisy images expects just such images.

The mean is over a few draws that stay the same for the whole run (a sample average approximation: Shapiro,
Dentcheva & Ruszczynski, "Lectures on Stochastic Programming", 2009, chapter 5), so that F is a function and
line searches, best iterates, records and resumed runs work as for any other. Draws come in pairs ±n: a
single one would only shift the image that the flow sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from ..errors import ArgumentError
from ..numbers import as_python, as_real
from ..priors.latent_terms import NegativeLogLikelihood
from ..priors.terms import IMAGES, register_prior_term

SMOOTHED = "smoothed"
"""The name of the prior term."""


@register_prior_term(SMOOTHED)
class Smoothed(NegativeLogLikelihood):
    """``nll`` averaged over small perturbations of the image: a low point of it is a good image."""

    spaces: ClassVar[tuple[str, ...]] = (IMAGES,)


@dataclass(frozen=True)
class Smoothing:
    """Perturbations ±s n, the same for every image.

    Parameters
    ----------
    deviation : float
        s > 0, in units of the images' range [0, 1]; half to all of the noise that the prior was trained with.
    draws : int
        Number of perturbations, even.
    seed : int
        Seed of the draws; they do not depend on the device, and an image gets the same wherever it stands
        in a batch.

    Raises
    ------
    ArgumentError
        If an option is out of range.
    """

    deviation: float = 0.01
    draws: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        deviation = as_real(self.deviation, "smoothing", "a number > 0")
        if deviation <= 0:
            raise ArgumentError("smoothing", repr(self.deviation), "a number > 0")
        draws = as_python(self.draws)
        if type(draws) is not int or draws < 2 or draws % 2:
            raise ArgumentError("draws", repr(self.draws), "an even integer >= 2")
        object.__setattr__(self, "deviation", deviation)
        object.__setattr__(self, "draws", draws)

    def perturbed(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield x + s n, x − s n for each pair of draws, of the shape of x, (N, C, H, W)."""
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.draws // 2):
            noise = self.deviation * torch.randn(x.shape[1:], generator=generator, dtype=torch.float32).to(x)
            yield x + noise
            yield x - noise
