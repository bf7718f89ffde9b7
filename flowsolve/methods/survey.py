"""What a problem is like as far as a method goes: from operator, noise and size, never from the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import UnsupportedError
from ..functionals.total_variation import divergence, gradient
from ..operators import Identity
from ..operators.iterative import conjugate_gradient
from ..problem import InverseProblem

BLIND = 1e-3
"""A direction that A shrinks below this share of ‖A‖² counts as one that it hides."""

SMOOTHEST, STEPS = 1e-2, 100
"""Weight of the gradient, in units of ‖A‖², where measurements are extended smoothly, and steps that are
taken to."""

PROBES = 4
"""Smooth images that A is tried on."""

WAVES = 6
"""Half-waves that a probe has at most along an axis."""

EIGHT_BITS = 1 / 255
"""Distance of grey levels."""

ROUNDED = 1e-4
"""Largest distance from a grey level, in grey levels, of measurements that were rounded to it."""


@dataclass(frozen=True)
class Survey:
    """What the measurements tell.

    Attributes
    ----------
    hidden : float
        Share of a smooth image, in energy, that neither A nor what is beside it tells; between 0 and 1.
    passed : float
        Energy of white noise that A lets through, in units of ‖A‖² times its own; 1 for the identity.
    complete : bool
        Whether, without noise, A⁺y is the image: nothing is hidden, and no noise is made larger.
    """

    hidden: float
    passed: float
    complete: bool


def survey(problem: InverseProblem) -> Survey:
    """Return what a problem is like.

    Parameters
    ----------
    problem : InverseProblem
        The problem; its truth is not looked at.

    Raises
    ------
    UnsupportedError
        If its operator is not one of images (C, H, W).
    """
    operator = problem.operator
    if len(operator.dim_shape) != 3:
        raise UnsupportedError(f"operator: {operator} is not one of images (C, H, W), which priors are for")
    identity = isinstance(operator, Identity)
    hidden = 0.0 if identity else _hidden(problem)
    return Survey(
        hidden=hidden,
        passed=1.0 if identity else _passed(problem),
        complete=problem.sigma == 0 and not _rounded(problem.y) and _invertible(problem),
    )


def _hidden(problem: InverseProblem) -> float:
    """Return ‖x − v‖²/‖v‖² over smooth images v, x being the smoothest image with the measurements of v.

    That is argmin over x of ‖Ax − Av‖² + SMOOTHEST ‖A‖² ‖∇x‖², by conjugate gradients. What neighbours tell
    does not count as hidden: of scattered pixels that are missing there is nothing, of a hole most of what
    is far from its edge.
    """
    operator, v = problem.operator, smooth_images(problem)
    if operator.lipschitz == 0:
        return 1.0
    weight = SMOOTHEST * operator.lipschitz**2

    def normal(x: torch.Tensor) -> torch.Tensor:
        return operator.adjoint(operator.apply(x)) - weight * divergence(gradient(x))

    found = conjugate_gradient(normal, operator.adjoint(operator.apply(v)), ndim=3, max_iter=STEPS, tol=1e-4)
    error = (found.x - v).double().flatten(1).square().sum(1) / v.double().flatten(1).square().sum(1)
    return float(error.clamp(0, 1).mean())


def _passed(problem: InverseProblem) -> float:
    """Return ‖Av‖²/(‖A‖²‖v‖²) for white noise v."""
    operator, y = problem.operator, problem.y
    v = _white(problem).to(y)
    through = operator.apply(v).double().square().sum() / v.double().square().sum()
    return float(through / operator.lipschitz**2) if operator.lipschitz else 0.0


def smooth_images(problem: InverseProblem) -> torch.Tensor:
    """Return seeded images of a few cosines, around 0, shape (N or `PROBES`, C, H, W)."""
    operator, y = problem.operator, problem.y
    shape = operator.dim_shape
    # An operator with parameters for each image is tried with a probe on each.
    count = PROBES if operator.n_images is None else operator.n_images
    random = np.random.default_rng(0)
    axes = [np.cos(np.pi * np.outer(np.arange(WAVES), (np.arange(n) + 0.5) / n)) for n in shape[-2:]]
    weights = random.standard_normal((count, math.prod(shape[:-2]), WAVES, WAVES))
    decay = 1 / (1 + np.add.outer(np.arange(WAVES), np.arange(WAVES)))
    images = np.einsum("nckl,kh,lw->nchw", weights * decay, *axes)
    return torch.as_tensor(images.reshape(count, *shape)).to(y)


def _invertible(problem: InverseProblem) -> bool:
    """Whether A⁺A is the identity, tried on noise; in closed form only, since iterations stop short of it."""
    operator, y = problem.operator, problem.y
    if not operator.has_closed_form:
        return False
    v = _white(problem).to(y.device)
    back = operator.pinv(operator.apply(v))
    return bool((back - v).square().mean().sqrt() < BLIND)


def _white(problem: InverseProblem) -> torch.Tensor:
    """Return seeded white noise, one image or as many as the operator has parameters for, float64."""
    operator, generator = problem.operator, torch.Generator().manual_seed(0)
    count = 1 if operator.n_images is None else operator.n_images
    return torch.randn((count, *operator.dim_shape), generator=generator, dtype=torch.float64)


def _rounded(y: torch.Tensor) -> bool:
    """Whether measurements are whole grey levels of 8 bits, so that rounding is their noise."""
    levels = y.double() / EIGHT_BITS
    return bool((levels - levels.round()).abs().max() < ROUNDED)
