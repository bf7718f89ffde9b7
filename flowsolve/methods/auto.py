"""The method ``auto``: it looks at the problem and writes the stages.

The rule, and the measurements behind each number, stand in ``docs/methods.md``. In short: the lowest point
of the ``smoothed`` term over images is a good image from any classical start, for every operator and every
noise level, so that stage is always there. Where the operator hides a part even of smooth images (holes,
missing pixels, few random projections, a missing colour), the classical start has nothing to go by there,
and a descent over latents from z = 0 comes first, on nine tenths of the measurements: the tenth that it has
not seen says when to stop, and whether to go on from it at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..baselines import classical_start
from ..flows import FlowPrior
from ..operators import Mask
from ..problem import InverseProblem
from .base import Method, register_method
from .stage import CHECKED, PREVIOUS, Stage
from .survey import Survey, survey

HIDDEN = 0.02
"""Share of smooth images that an operator must hide for latents to come first."""

WEIGHT = 0.35
"""Weight of the smoothed term, in units of the MAP weight."""

LATENT_WEIGHT = 0.5
"""Weight of ‖z‖², likewise."""

LEAST_SIGMA = 0.002
"""Noise that is assumed at least where Ax = y cannot be a constraint: half a grey level of 8 bits."""

NOISELESS_LATENT = 3e-4
"""Weight of ‖z‖² without noise."""

IMAGE_ITERATIONS, LATENT_ITERATIONS = 50, 80

SMOOTHING = 2 / 3
"""Deviation of the smoothing, in units of the noise that the prior was trained with."""

USUAL_NOISE = 0.015
"""That noise, where the card does not say."""

HELD_OUT, PATIENCE = 0.1, 12
"""Share of the measurements that the descent over latents is not shown, and how long their misfit may go without
falling."""

SQUARE, SQUARES = 8, 8
"""Side in pixels of the squares that are held out, and how many at least fit along a side of an image."""


@dataclass(frozen=True)
class Plan:
    """What the rule goes by."""

    problem: InverseProblem
    prior: FlowPrior
    seen: Survey

    @property
    def start(self) -> str:
        """Name of the classical restoration that suits the operator."""
        return classical_start(self.problem)

    def images(self, init: str) -> Stage:
        """Return the stage over images: smoothed, to the end."""
        card, constrained = self.prior.card, self._constrained()
        noise = card.noise_sigma or USUAL_NOISE
        adam: dict[str, Any] = {
            "lr": 0.02,
            "beta2": 0.99,
            "schedule": "cosine",
            "horizon": IMAGE_ITERATIONS,
            # A blur bends each frequency differently, a mask each pixel.
            "basis": "pixels" if isinstance(self.problem.operator, Mask) else "cosines",
        }
        return Stage(
            phi="smoothed",
            lam=None if constrained else WEIGHT * max(self.problem.sigma, LEAST_SIGMA) ** 2 / 2,
            solver="adam",
            options=adam,
            init=init,
            max_iter=IMAGE_ITERATIONS,
            objective_options={"smoothing": round(SMOOTHING * noise, 6)},
        )

    def latents(self) -> Stage:
        """Return the stage over latents: from z = 0, stopped by what is held out."""
        sigma, sides = self.problem.sigma, self.problem.operator.dim_shape[-2:]
        square = max(1, min(SQUARE, min(sides) // SQUARES))
        return Stage(
            formulation="synthesis",
            phi="latent",
            lam=LATENT_WEIGHT * sigma**2 / 2 if sigma > 0 else NOISELESS_LATENT,
            solver="lbfgs",
            options={"scaling": "levels"},
            init="zeros",
            max_iter=LATENT_ITERATIONS,
            keep="best",
            prior=self.prior.card.latent_companion,
            held_out={"fraction": HELD_OUT, "block": square, "patience": PATIENCE},
        )

    def _constrained(self) -> bool:
        return self.problem.sigma == 0 and self.problem.operator.has_closed_form


@register_method("auto")
def auto(problem: InverseProblem, prior: FlowPrior) -> Method:
    """Decides from operator, noise and prior; not worse, as far as one can tell, than a classical start."""
    seen = survey(problem)
    plan = Plan(problem, prior, seen)
    if seen.complete:
        stage = Stage(lam=0.0, init="pinv", max_iter=0)
        reason = "without noise the operator can be inverted, and A⁺y is the image: there is nothing to add"
        return Method("auto", (stage,), reason)
    if seen.hidden <= HIDDEN:
        reason = (
            f"the operator shows smooth images almost whole ({100 * seen.hidden:.1f} % hidden): "
            f"the smoothed prior over images, from {plan.start}"
        )
        return Method("auto", (plan.images(plan.start),), reason, guarded=True)
    checkable = isinstance(problem.operator, Mask)
    init = CHECKED + plan.start if checkable else PREVIOUS
    reason = (
        f"the operator hides {100 * seen.hidden:.0f} % even of smooth images: latents from z = 0 first, "
        "then the smoothed prior over images"
    )
    return Method("auto", (plan.latents(), plan.images(init)), reason, guarded=True)
