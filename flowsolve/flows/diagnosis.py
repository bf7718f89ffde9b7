"""Whether a prior can be relied on at given images: inverse, typical set, density, precision.

A normalizing flow is invertible on paper; in floating point its inverse can amplify rounding until it
is none, above all away from the images it was trained on (Behrmann, Vicol, Wang, Grosse & Jacobsen,
"Understanding and mitigating exploding inverses in invertible neural networks", AISTATS 2021). And where
||z||^2 / n is far from 1 the model finds an image untypical: samples of it have 1 +- sqrt(2 / n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..arrays import to_numpy
from ..errors import ArgumentError
from .prior import FlowPrior

ROUND_TRIP = {torch.float32: 1e-3, torch.float64: 1e-9}
"""Largest relative error of D(E(x)) and of E(D(z)), by dtype: below one grey level in 255; in float32
about ten thousand roundings."""

NORM_RANGE = (0.5, 2.0)
"""Where ||z||^2 / n of an image, over the square of its temperature, should lie."""

LEVEL_RANGE = (0.2, 5.0)
"""The same for each level. Levels of few values vary more, and real images more than samples."""

PRECISION = 1e-4
"""Largest difference of the energy in float32 and float64, relative to it (or to n, if that is larger)."""


@dataclass(frozen=True)
class Health:
    """How a prior does at a batch of images; every array has the images first.

    Attributes
    ----------
    image_error, image_error_relative : numpy.ndarray, shape (N,)
        Round trip x -> z -> x: largest error of a value, and the root mean square of the errors over that
        of x, or over 1 if that is larger (images and latents are of order 1).
    latent_error, latent_error_relative : numpy.ndarray, shape (N,)
        Round trip z -> x -> z from z = E(x), likewise.
    norm : numpy.ndarray, shape (N,)
        ||E(x)||^2 / n.
    level_norms : numpy.ndarray, shape (N, L)
        The same of each level, the finest first.
    log_det : numpy.ndarray, shape (N,)
        log|det J_E(x)|.
    bits_per_dim : numpy.ndarray, shape (N,)
        Negative log-density in bits a dimension (of `n`), of images of so many bits as the prior was
        trained for.
    precision : numpy.ndarray, shape (N,)
        Difference of the ``nll`` energy in float32 and float64, relative to it, or to n if that is larger.
    finite : numpy.ndarray, shape (N,), bool
        Whether latent, image, log-determinant and energies are all finite.
    bits : int
        Bits a value of the training images.
    n : int
        Values in a latent: those of an image, or of the reflected image where the prior reflects it.
    temperature : float
        Standard deviation of the latents that the images were drawn with; 1 for others.
    dtype : torch.dtype
        The prior's.
    """

    image_error: np.ndarray
    image_error_relative: np.ndarray
    latent_error: np.ndarray
    latent_error_relative: np.ndarray
    norm: np.ndarray
    level_norms: np.ndarray
    log_det: np.ndarray
    bits_per_dim: np.ndarray
    precision: np.ndarray
    finite: np.ndarray
    bits: int
    n: int
    temperature: float
    dtype: torch.dtype

    def __len__(self) -> int:
        return len(self.norm)

    def problems(self) -> list[str]:
        """Return a sentence for each thing that is not as it should be, empty if all is well."""
        if not self.finite.all():
            # What else is wrong there follows from it, or cannot be told.
            return [_sentence(~self.finite, "latents, images or energies are not finite")]
        expected, limit = self.temperature**2, ROUND_TRIP[self.dtype]
        found = [
            _above(self.image_error_relative, limit, "D(E(x)) misses x by a relative error of {:.1e}"),
            _above(self.latent_error_relative, limit, "E(D(z)) misses z by a relative error of {:.1e}"),
            _outside(self.norm, expected, NORM_RANGE, "||z||^2/n"),
            _outside(self.level_norms, expected, LEVEL_RANGE, "||z||^2/n of a level"),
            _above(
                self.bits_per_dim,
                self.bits,
                "{:.3g} bits a dimension are more than those of uniform noise",
            ),
            _above(self.precision, PRECISION, "float32 and float64 differ by {:.1e} in the energy"),
        ]
        return [sentence for sentence in found if sentence]

    def __str__(self) -> str:
        spread = self.temperature**2 * math.sqrt(2 / self.n)
        expected = f"samples: {self.temperature**2:.3g} +- {spread:.2g}"
        image, latent = (f"largest {error.max():.1e}" for error in (self.image_error, self.latent_error))
        rows = [
            ("D(E(x)) - x, relative", self.image_error_relative, ".1e", image),
            ("E(D(z)) - z, relative", self.latent_error_relative, ".1e", latent),
            ("||z||^2 / n", self.norm, ".4g", expected),
            *((f"  level {i}", norms, ".4g", "") for i, norms in enumerate(self.level_norms.T)),
            ("log|det J_E|", self.log_det, ".5g", ""),
            ("bits a dimension", self.bits_per_dim, ".4g", f"uniform noise: {self.bits}"),
            ("float32 against float64", self.precision, ".1e", "of the energy"),
        ]
        head = f"{len(self)} image{'' if len(self) == 1 else 's'}, {str(self.dtype).removeprefix('torch.')}"
        lines = [f"{head:<24}{'least':>12}{'mean':>12}{'most':>12}"]
        for name, values, form, note in rows:
            numbers = "".join(f"{value:>12{form}}" for value in (values.min(), values.mean(), values.max()))
            lines.append(f"{name:<24}{numbers}  {note}".rstrip())
        return "\n".join(lines)


def health(prior: FlowPrior, x: Tensor, temperature: float = 1.0) -> Health:
    """Measure how a prior does at images.

    Parameters
    ----------
    prior : FlowPrior
        The prior; if it takes any size, at that of the images.
    x : Tensor
        Images (..., C, H, W) of the prior's dtype and on its device.
    temperature : float
        Standard deviation of the latents that the images were drawn with, for samples of the prior.

    Returns
    -------
    Health
        For the images in the order of ``x.reshape(-1, C, H, W)``.

    Raises
    ------
    ArgumentError
        If the images do not fit the prior, there are none, or `temperature` is not positive and finite.

    Examples
    --------
    >>> from flowsolve.flows import load_prior
    >>> prior = load_prior("faces64")
    >>> health(prior, prior.sample(2, seed=0, temperature=0.7), temperature=0.7).problems()
    []
    """
    # Not before it is needed: training brings readers of images with it.
    from .training.likelihood import bits_per_dim

    if not (math.isfinite(temperature) and temperature > 0):
        raise ArgumentError("temperature", temperature, "a finite number > 0")
    if prior.any_size and isinstance(x, Tensor) and x.ndim >= 3:
        prior = prior.at_size(x.shape[-2], x.shape[-1])
    prior.check_image(x)
    x = x.detach().reshape(-1, *x.shape[-3:])
    if not len(x):
        raise ArgumentError("x", "no images", "at least one")
    with torch.no_grad():
        z, log_det = prior.encode(x, log_det=True)
        back = prior.decode(z)
        again = prior.encode(back)
        energies = {prior.dtype: prior.energy(x)}
        for dtype in {torch.float32, torch.float64} - {prior.dtype}:
            energies[dtype] = prior.to(dtype=dtype).energy(x.to(dtype))
    single, double = energies[torch.float32].double(), energies[torch.float64]
    # Where images are reflected, the density is that of the reflected ones, which have as many values as z.
    size = z.shape[-1]
    norms = [level.flatten(1).double().square().mean(1) for level in prior.split_latent(z)]
    log_prob = log_det.double() - 0.5 * (z.double().square().sum(-1) + size * math.log(2 * math.pi))
    whole = torch.cat([z, back.flatten(1), again, torch.stack([log_det, single, double], 1)], 1)
    return Health(
        image_error=to_numpy((back - x).abs().flatten(1).amax(1)),
        image_error_relative=to_numpy(_relative(back, x)),
        latent_error=to_numpy((again - z).abs().amax(1)),
        latent_error_relative=to_numpy(_relative(again, z)),
        norm=to_numpy(z.double().square().mean(-1)),
        level_norms=to_numpy(torch.stack(norms, 1)),
        log_det=to_numpy(log_det.double()),
        bits_per_dim=to_numpy(bits_per_dim(log_prob, size, prior.bits)),
        precision=to_numpy((single - double).abs() / double.abs().clamp(min=size)),
        finite=to_numpy(torch.isfinite(whole).all(1)),
        bits=prior.bits,
        n=size,
        temperature=float(temperature),
        dtype=prior.dtype,
    )


def _relative(found: Tensor, true: Tensor) -> Tensor:
    """Return the root mean square of the error over that of `true`, or over 1 if that is larger, (N,)."""
    error, true = (found - true).double().flatten(1), true.double().flatten(1)
    return error.square().mean(1).sqrt() / true.square().mean(1).sqrt().clamp(min=1)


def _above(values: np.ndarray, limit: float, text: str) -> str:
    return _sentence(values > limit, text.format(values.max()) + f" (limit {limit:g})")


def _outside(values: np.ndarray, expected: float, limits: tuple[float, float], name: str) -> str:
    low, high = (limit * expected for limit in limits)
    # The farthest by its ratio: 10 and 1/10 are equally far from 1.
    ratio = np.maximum(values, np.finfo(np.float64).tiny) / expected
    worst = values.flat[np.abs(np.log(ratio)).argmax()]
    wrong = ((values < low) | (values > high)).reshape(len(values), -1).any(1)
    text = f"{name} is {worst:.3g}, far from the model's {expected:.3g} (limits {low:.3g} and {high:.3g})"
    return _sentence(wrong, text)


def _sentence(wrong: np.ndarray, text: str) -> str:
    """Return the text with how many images it is about, or nothing where there are none."""
    if not wrong.any():
        return ""
    which = ", ".join(str(i) for i in np.flatnonzero(wrong)[:5]) + (", ..." if wrong.sum() > 5 else "")
    return f"{int(wrong.sum())} of {len(wrong)} images (number {which}): {text}."
