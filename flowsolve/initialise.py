"""Where a run starts: named, seeded starts, each an image or a latent of every problem of the batch.

The start decides which basin a solver ends in, so a run records its name and seed. A package adds
one by an entry point of the group ``flowsolve.initialisers``: a function like those below, the first
line of whose docstring says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from . import baselines
from .ambient import plain, undisturbed
from .errors import ArgumentError
from .given import as_tensor, check_estimate
from .operators.checks import channels_last
from .priors.base import Prior, require_flow
from .priors.terms import LATENTS
from .problem import InverseProblem
from .registry import Registry

AUTO = "auto"
"""The start that suits the objective; see `usual_start`."""

ENCODED = "encoded:"
"""Prefix of a name that asks for the latents of an image start."""

STREAM = 0x57A127
"""Third number of the seeds of random starts, which keeps them apart from noise and masks."""

START_WEIGHT = 0.5
"""Factor on the discrepancy principle's weight for the start ``tikhonov``. A descent removes noise more
readily than it finds lost detail: from half the weight, blurred validation faces end higher."""


@dataclass(frozen=True)
class Start:
    """A start of a run: images or latents, one of the two.

    Attributes
    ----------
    x : torch.Tensor, shape (N, C, H, W), optional
        Images.
    z : torch.Tensor, shape (N, n), optional
        Standardised latents.
    name : str
        What it is called in the record.
    seed : int
        Seed it was made with.

    Raises
    ------
    ArgumentError
        If not exactly one of `x` and `z` is given, or it is not finite.
    """

    x: torch.Tensor | None = None
    z: torch.Tensor | None = None
    name: str = "given"
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.x is None) == (self.z is None):
            given = "neither" if self.x is None else "both"
            raise ArgumentError("start", given, "either x, images, or z, latents")
        tensor = self.x if self.x is not None else self.z
        assert tensor is not None
        if not torch.isfinite(tensor).all():
            raise ArgumentError("start", f"{self.name}, which has NaN or infinite values", "a finite start")


class Initialiser(Protocol):
    """What is registered under a name: a function that makes the start."""

    def __call__(self, problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
        """Return the start of `problem`."""


class _Initialisers(Registry[Initialiser]):
    """Starts by name; a baseline that is no start by itself is one all the same."""

    def get(self, name: str, argument: str | None = None) -> Initialiser:
        """Return the start of a name, or that of the baseline of this name."""
        if name not in self and name in baselines.registry:
            return _of_baseline(name)
        return super().get(name, argument)


def _of_baseline(name: str) -> Initialiser:
    def start(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
        return Start(x=baselines.registry.get(name)(problem), name=name, seed=seed)

    return start


registry: _Initialisers = _Initialisers("initialiser", "flowsolve.initialisers")
register_initialiser = registry.register


@undisturbed
def make_start(name: str, problem: InverseProblem, prior: Prior, seed: int = 0) -> Start:
    """Return the start of a name.

    Parameters
    ----------
    name : str
        A name of `registry`; with ``encoded:`` before it, the latents E(x) of that image start.
    problem : InverseProblem
        The problem to start on.
    prior : Prior
        The prior, at the size of the images.
    seed : int
        Seed of the random starts; image i draws from the seed and i alone.

    Returns
    -------
    Start
        On the device and in the dtype of the problem's measurements.

    Raises
    ------
    ArgumentError
        If the name is unknown, or `encoded:` is before a start that is a latent already.
    UnsupportedError
        If the start has no meaning for the problem's operator; the message says for which it has.
    """
    plain = name.removeprefix(ENCODED)
    start = registry.get(plain, "init")(problem, prior, seed=int(seed))
    if plain == name:
        return start
    if start.x is None:
        raise ArgumentError("init", repr(name), f"{plain!r}, which is a latent already")
    with torch.no_grad():
        z = require_flow(prior, f"init: {name!r}").encode(start.x.to(device=prior.device, dtype=prior.dtype))
    return Start(z=z, name=name, seed=start.seed)


def as_start(
    given: Any, problem: InverseProblem, prior: Prior, *, latent: bool, argument: str = "init"
) -> Start:
    """Return what a user gave to start from as a `Start`.

    Parameters
    ----------
    given : Start, array, Result, Iterate or RunRecord
        A start; images (N, C, H, W) or latents (N, n) in an array of any library; or what another run found:
        a result or record, of which the best iterate is taken, or an iterate.
    problem : InverseProblem
        The problem to start on.
    prior : Prior
        The prior, at the size of the images.
    latent : bool
        Whether, of what has both, the latents are taken.
    argument : str
        Name for the message.

    Raises
    ------
    ArgumentError
        If it is none of these, does not fit the problem, or is not finite.
    """
    best = getattr(given, "best", given)
    if isinstance(given, Start):
        name, value = given.name, given.x if given.z is None else given.z
    elif isinstance(best, dict) and {"x", "z"} <= best.keys():
        name, value = "given record", best["z" if latent else "x"]
    elif hasattr(best, "x") and hasattr(best, "z"):
        name, value = "given result", best.z if latent else best.x
    else:
        name, value = "", given
    tensor = plain(as_tensor(argument, value)).to(problem.y)
    shape = tuple(tensor.shape)
    is_image = shape == (len(problem), *problem.operator.dim_shape)
    is_latent = prior.has_latents and shape == (len(problem), prior.n)
    if not (is_image or is_latent):
        image = ", ".join(map(str, problem.operator.dim_shape))
        accepted = f"images ({len(problem)}, {image})"
        accepted += f" or latents ({len(problem)}, {prior.n})" if prior.has_latents else ""
        hint = channels_last(shape, tuple(problem.operator.dim_shape))
        raise ArgumentError(argument, f"{name or 'tensor'} of shape {shape}", accepted + hint)
    if is_image and not isinstance(given, Start):
        check_estimate(argument, tensor)
    if not torch.isfinite(tensor).all():
        raise ArgumentError(argument, "NaN or infinite values", "a finite start")
    seed = given.seed if isinstance(given, Start) else 0
    if is_image:
        return Start(x=tensor, name=name or "given image", seed=seed)
    return Start(z=tensor, name=name or "given latent", seed=seed)


def usual_start(init: Any, objective: Any) -> Any:
    """Return `init`, or, where it is ``auto``, the name of the start that suits the objective.

    Over images that is the classical restoration which suits operator and noise, over latents z = 0: encoded
    images lead into poorer basins.

    Parameters
    ----------
    init : str, Start, array or anything else that a run starts from
        What was asked for.
    objective : Objective
        What is to be minimised.
    """
    if not isinstance(init, str) or init != AUTO:
        return init
    # A classical restoration has seen what is held out.
    unseen = hasattr(objective.fidelity, "held_out") and objective.prior.has_latents
    if objective.space == LATENTS or unseen:
        return "zeros"
    return baselines.classical_start(objective.problem)


@register_initialiser("zeros")
def zeros(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """The latent z = 0; over images x = D(0)."""
    n = require_flow(prior, "init: 'zeros'").n
    return Start(z=problem.y.new_zeros(len(problem), n), name="zeros", seed=seed)


@register_initialiser("random")
def random(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """A latent z ~ N(0, I), that is, an image drawn from the prior."""
    n = require_flow(prior, "init: 'random'").n
    draws = [_generator(seed, i).standard_normal(n) for i in range(len(problem))]
    return Start(z=_like(np.stack(draws), problem), name="random", seed=seed)


@register_initialiser("uniform")
def uniform(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """Images of independent pixels, uniform on [0, 1] (Oberlin & Verm, 2021)."""
    shape = problem.operator.dim_shape
    draws = [_generator(seed, i).random(shape) for i in range(len(problem))]
    return Start(x=_like(np.stack(draws), problem), name="uniform", seed=seed)


@register_initialiser("adjoint")
def adjoint(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """The adjoint Aᵀy."""
    return Start(x=problem.operator.adjoint(problem.y), name="adjoint", seed=seed)


@register_initialiser("pinv")
def pinv(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """The pseudo-inverse A⁺y: fits the measurements best, noise and all."""
    # In double precision: what A⁺ amplifies most is rounding.
    return Start(x=problem.operator.pinv(problem.y.double()).to(problem.y), name="pinv", seed=seed)


@register_initialiser("classical")
def classical(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """The classical restoration that suits the operator and the noise."""
    name = baselines.classical_start(problem)
    return Start(x=baselines.registry.get(name)(problem), name=name, seed=seed)


@register_initialiser("tikhonov")
def tikhonov(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """Tikhonov, its weight half of what the discrepancy principle gives: sharp, with noise for the flow."""
    weight = START_WEIGHT * baselines.discrepancy_weight(problem, baselines.tikhonov)
    return Start(x=baselines.tikhonov(problem, weight), name="tikhonov", seed=seed)


@register_initialiser("total-variation")
def total_variation(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """Total variation, its weight from the noise level."""
    return Start(x=baselines.total_variation(problem), name="total-variation", seed=seed)


@register_initialiser("non-local-means")
def non_local_means(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """Non-local means of scikit-image, its strength from the noise level (denoising only)."""
    return Start(x=baselines.non_local_means(problem), name="non-local-means", seed=seed)


@register_initialiser("harmonic")
def harmonic(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """Missing pixels by Laplace's equation (masks only)."""
    return Start(x=baselines.harmonic_fill(problem), name="harmonic", seed=seed)


@register_initialiser("bicubic")
def bicubic(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """Cubic interpolation of the coarse image (downsampling only)."""
    return Start(x=baselines.bicubic(problem), name="bicubic", seed=seed)


@register_initialiser("back-projection")
def back_projection(problem: InverseProblem, prior: Prior, *, seed: int) -> Start:
    """Cubic interpolation corrected to agree with the measurements (downsampling only)."""
    return Start(x=baselines.back_projection(problem), name="back-projection", seed=seed)


def _generator(seed: int, image: int) -> np.random.Generator:
    if seed < 0:
        raise ArgumentError("seed", seed, "an integer >= 0")
    return np.random.default_rng([seed, image, STREAM])


def _like(host: np.ndarray, problem: InverseProblem) -> torch.Tensor:
    return torch.as_tensor(host).to(problem.y)
