"""The method ``auto``: it looks at the problem and writes the stages.

The rule, and the measurements behind each number, stand in ``docs/methods.md``. In short: a descent over
images, from the classical restoration that suits the operator, gains on every operator at every noise
level, so that stage is always there. Where the operator hides a part of smooth images that their neighbours
do not tell either (holes, few random projections, a missing colour), the classical start is a guess, and a
descent over latents from z = 0 comes first. Its first half does not see a quarter of the measurements, by
which it is judged before it goes on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..baselines import classical_start
from ..flows import FlowPrior
from ..operators import Identity, Mask
from ..problem import InverseProblem
from .base import Method, register_method
from .stage import CHECKED, MIXED, PREVIOUS, Stage
from .survey import Survey, survey


@dataclass(frozen=True)
class Between:
    """A number that goes over from one value to the next, linearly in the logarithm of the noise.

    Attributes
    ----------
    noise : tuple of float
        Noise levels, ascending.
    values : tuple of float
        The number at each; below the lowest and above the highest level it stays what it is there.
    """

    noise: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, sigma: float) -> float:
        """Return the number at a noise level."""
        return float(np.interp(math.log(sigma), np.log(self.noise), self.values))


HIDDEN = 2e-3
"""Share of smooth images that an operator must hide for latents to come first."""

FEW = 1 / 8
"""Measurements for each unknown below which they come first too: a coarse image has many fine ones."""

COARSE_WEIGHT, LEAST_COARSE = 1.0, 3e-4
"""Weight of ‖z‖² then, in units of the MAP weight, and at least."""

PIXEL_WEIGHTS = Between((0.01, 0.03), (0.5, 0.35))
"""Weight of ``nll`` in units of the MAP weight, where single pixels are measured."""

PIXEL_ITERATIONS = 80
"""Iterations of L-BFGS then."""

PIXEL_ITERATIONS_EXACT = 40
"""The same after latents without noise, where only what is hidden is left to find."""

PIXEL_NOISE = 0.04
"""Noise up to which they are: with more, the lowest ``nll`` is too smooth, that of ``smoothed`` is not."""

WEIGHTS = Between((0.1, 0.2), (0.35, 0.28))
"""Weight of ``smoothed``, likewise."""

WHOLE_WEIGHTS = Between((0.01, 0.02, 0.05, 0.1, 0.2), (1.75, 1.5, 0.65, 0.35, 0.28))
"""The same where the whole image is measured: such weights draw too smooth what an operator hides, but not
what has little noise and nothing else."""

BLURRED_WEIGHTS = Between((0.01, 0.03), (0.35, 0.2))
"""The same where a blur leaves little of fine detail."""

FAINT = 0.1
"""Energy of white noise that such a blur lets through at most."""

SMOOTHED_ITERATIONS, FAINT_ITERATIONS = 50, 80
"""Iterations of Adam, to the end of its schedule; the second where such a blur is a hard constraint, which
leaves more to find."""

LATENT_WEIGHT, LATENT_ITERATIONS = 0.5, 40
"""Weight of ‖z‖² and iterations of each half of the descent over latents."""

DENSE_ITERATIONS = 100
"""Iterations of the second half where measurements mix pixels, which takes longer to undo."""

LEAST_LATENT, LEAST_LATENT_PIXELS = 5e-6, 3e-3
"""Least weight, below which so few iterations no longer get there; the second where pixels are measured: what
is then left of the measurements the stage over images puts right."""

LEAST_SIGMA = 0.002
"""Noise that is assumed at least where Ax = y cannot be a constraint: half a grey level of 8 bits."""

SHARE_HIDDEN, SHARE_FEW = Between((0.01, 0.03), (0.2, 0.0)), Between((0.01, 0.03), (0.1, 0.1))
"""Share of the classical restoration in the image at the end, where much is hidden and where there are few
measurements: what the prior made up and what is smoothest err apart, their mean errs less. Harmonic filling
keeps the noise of what is measured, so that its share falls with it."""

SMOOTHING, USUAL_NOISE = 2 / 3, 0.015
"""Deviation of the smoothing, in units of the noise that the prior was trained with; and that, where it is
not known."""

HELD_OUT, PATIENCE = 0.25, 12
"""Share of the measurements that is held out, and how many iterations their misfit may go without falling."""

SQUARE, SQUARES = 4, 16
"""Side in pixels of the squares that are held out, and how many at least fit along a side of an image."""


@dataclass(frozen=True)
class Rule:
    """What the stages follow from.

    Attributes
    ----------
    problem : InverseProblem
        The problem.
    prior : FlowPrior
        The flow, for its card.
    seen : Survey
        What the problem is like.
    """

    problem: InverseProblem
    prior: FlowPrior
    seen: Survey

    @property
    def start(self) -> str:
        """Name of the classical restoration that suits the operator."""
        return classical_start(self.problem)

    @property
    def knows_wholes(self) -> bool:
        """Whether the prior is one of whole images: crops tell nothing of what lies in a hole."""
        return self.prior.size is not None

    @property
    def pixels(self) -> bool:
        """Whether single pixels are measured."""
        return isinstance(self.problem.operator, Mask)

    def images(self, init: str) -> Stage:
        """Return the stage over images."""
        exact = self.pixels and self.problem.sigma <= PIXEL_NOISE
        return self._density(init) if exact else self._smoothed(init)

    def latents(self) -> tuple[Stage, Stage]:
        """Return the two halves of the descent over latents: on a part of the measurements, then on all."""
        square = max(1, min(SQUARE, min(self.problem.operator.codim_shape[-2:]) // SQUARES))
        held_out = {"fraction": HELD_OUT, "block": square, "patience": PATIENCE}
        weight = LATENT_WEIGHT, LEAST_LATENT_PIXELS if self.pixels else LEAST_LATENT
        iterations = LATENT_ITERATIONS if self.pixels else DENSE_ITERATIONS
        return (
            self._over_latents(
                *weight, init="zeros", keep="best", held_out=held_out, max_iter=LATENT_ITERATIONS
            ),
            self._over_latents(*weight, init=PREVIOUS, max_iter=iterations),
        )

    @property
    def few(self) -> bool:
        """Whether there are few measurements, though no smooth image is hidden by them."""
        operator = self.problem.operator
        return math.prod(operator.codim_shape) < FEW * math.prod(operator.dim_shape)

    def coarse(self) -> Stage:
        """Return a short descent over latents: a longer one fits the noise in so few measurements."""
        return self._over_latents(
            COARSE_WEIGHT,
            LEAST_COARSE,
            init="zeros",
            max_iter=LATENT_ITERATIONS,
            put_back=self.problem.sigma == 0 and self.problem.operator.has_closed_form,
        )

    def _over_latents(self, map_factor: float, least: float, **more: Any) -> Stage:
        """Return a stage over latents with so much of the MAP weight, but at least `least`."""
        return Stage(
            formulation="synthesis",
            phi="latent",
            lam=max(map_factor * self.problem.sigma**2 / 2, least),
            solver="lbfgs",
            options={"scaling": "levels"},
            prior=self.prior.card.latent_companion,
            **more,
        )

    def _density(self, init: str) -> Stage:
        return Stage(
            phi="nll",
            lam=self._weight(PIXEL_WEIGHTS),
            solver="lbfgs",
            init=init,
            max_iter=PIXEL_ITERATIONS if init == self.start or self.problem.sigma else PIXEL_ITERATIONS_EXACT,
        )

    def _smoothed(self, init: str) -> Stage:
        """Return the stage whose lowest point is a good image, so that it goes on to the end."""
        noise, faint = self.prior.card.noise_sigma or USUAL_NOISE, self.seen.passed <= FAINT
        whole = isinstance(self.problem.operator, Identity)
        lam = self._weight(BLURRED_WEIGHTS if faint else WHOLE_WEIGHTS if whole else WEIGHTS)
        iterations = FAINT_ITERATIONS if faint and lam is None else SMOOTHED_ITERATIONS
        adam = {
            "lr": 0.02,
            "beta2": 0.99,
            "schedule": "cosine",
            "horizon": iterations,
            # A blur bends each frequency differently, a mask each pixel.
            "basis": "pixels" if self.pixels else "cosines",
        }
        return Stage(
            phi="smoothed",
            lam=lam,
            solver="adam",
            options=adam,
            init=init,
            max_iter=iterations,
            objective_options={"smoothing": round(SMOOTHING * noise, 6)},
        )

    def ended(self, last: Stage, shares: Between) -> tuple[Stage, ...]:
        """Return the last stage and, with noise, the mean of where it ends and the classical restoration."""
        share = shares.at(self.problem.sigma) if self.problem.sigma else 0.0
        if share == 0:
            return (last,)
        mean = {"share": round(share, 3)}
        return last, replace(last, init=MIXED + self.start, init_options=mean, max_iter=0)

    def _weight(self, factor: Between) -> float | None:
        """Return the weight, or None for the hard constraint."""
        if self.problem.sigma == 0 and self.problem.operator.has_closed_form:
            return None
        sigma = max(self.problem.sigma, LEAST_SIGMA)
        return factor.at(sigma) * sigma**2 / 2


@register_method("auto")
def auto(problem: InverseProblem, prior: FlowPrior) -> Method:
    """Decides from operator, noise and prior; not worse, as far as one can tell, than a classical start."""
    method = _decide(problem, prior)
    if problem.noise.fidelity == "least_squares":
        return method
    return replace(method, stages=tuple(stage.in_map_units(problem.sigma) for stage in method.stages))


def _decide(problem: InverseProblem, prior: FlowPrior) -> Method:
    seen = survey(problem)
    rule = Rule(problem, prior, seen)
    if seen.complete:
        stage = Stage(lam=0.0, init="pinv", max_iter=0)
        reason = "without noise the operator can be inverted, and A⁺y is the image: there is nothing to add"
        return Method("auto", (stage,), reason)
    hidden = f"the operator hides {100 * seen.hidden:.2g} % of smooth images"
    if seen.hidden <= HIDDEN and rule.few and rule.knows_wholes:
        reason = f"{hidden}, but there are few measurements: latents from z = 0 first, then images"
        end = rule.ended(rule.images(PREVIOUS), SHARE_FEW)
        return Method("auto", (rule.coarse(), *end), reason, guarded=True)
    if seen.hidden <= HIDDEN or not rule.knows_wholes:
        why = "so that" if seen.hidden <= HIDDEN else "of which a prior of crops knows nothing:"
        reason = f"{hidden}, {why} {rule.start} is the start of a descent over images"
        return Method("auto", (rule.images(rule.start),), reason, guarded=True)
    reason = f"{hidden}: latents from z = 0 find what is there, a descent over images ends it"
    if rule.pixels:
        end = rule.ended(rule.images(CHECKED + rule.start), SHARE_HIDDEN)
    else:
        end = (rule.images(PREVIOUS),)
    return Method("auto", (*rule.latents(), *end), reason, guarded=True)
