"""The analysis formulation: optimise the image itself (Oberlin & Verm, ICIP 2021, eq. 4)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch

from ..ambient import undisturbed
from ..errors import ArgumentError, UnsupportedError
from ..fidelities import LeastSquares
from ..priors.base import Prior
from ..priors.terms import IMAGES, ImageTerm
from ..problem import InverseProblem
from .base import Objective, require_closed_form
from .evaluation import Evaluation
from .flow_prox import flow_prox
from .reading import Reading, pull_back
from .smoothing import SMOOTHED, Smoothing
from .split import Split

TOGETHER = 2**17
"""Pixels up to which the perturbed images of ``smoothed`` pass through the flow in one batch; beyond that
the passes are no faster, and take more memory."""


class Analysis(Objective):
    """F(x) = ½‖Ax − y‖² + lam φ(x) over images x; with lam="map" and σ = 0, φ(x) subject to Ax = y.

    The hard constraint is the range–null-space form x = A⁺y + (I − A⁺A)u, the limit of the proximal operator
    of the data term as σ → 0; the variable u has the shape of the image and every u is feasible.

    Parameters
    ----------
    problem, prior, phi, lam, extra
        See `Objective`. Here phi may also be ``smoothed``: ``nll`` averaged over small Gaussian perturbations
        of the image (`flowsolve.objectives.smoothing`), whose lowest point is a good image.
    smoothing : float, optional
        Deviation of the perturbations, in units of the images' range; 0.01 unless given.
    draws : int, optional
        Number of perturbations, even; 2 unless given. Each costs a pass through the flow.

    Raises
    ------
    ArgumentError
        If `smoothing` or `draws` is out of range, or given for another phi.
    UnsupportedError
        If σ = 0 and lam="map" but the operator has no closed-form pseudo-inverse.
    """

    name = "analysis"
    space = IMAGES
    map = "E"
    #: Over images ``latent`` soon drifts to noise of low norm, so the density's volume term is kept.
    default_phi = "nll"

    def __init__(
        self,
        problem: InverseProblem,
        prior: Prior,
        *,
        smoothing: float | None = None,
        draws: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(problem, prior, **options)
        if self.phi != SMOOTHED:
            for name, value in (("smoothing", smoothing), ("draws", draws)):
                if value is not None:
                    raise ArgumentError(name, f"a value with phi={self.phi!r}", f"phi={SMOOTHED!r} only")
        self.smoothing: Smoothing | None = None
        if self.phi == SMOOTHED:
            self.smoothing = Smoothing(
                Smoothing.deviation if smoothing is None else smoothing,
                Smoothing.draws if draws is None else draws,
            )

    def options(self) -> dict[str, Any]:
        """Return the smoothing, where there is one."""
        if self.smoothing is None:
            return super().options()
        own = {"smoothing": self.smoothing.deviation, "draws": self.smoothing.draws}
        return super().options() | own

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """Shape of the image, (C, H, W)."""
        return self.shape

    def from_image(self, x: torch.Tensor) -> torch.Tensor:
        """Return a copy of x, put onto the constraint where there is one."""
        return self.image(x.to(self.problem.y)).clone()

    def from_latent(self, z: torch.Tensor) -> torch.Tensor:
        """Return D(z), put onto the constraint where there is one."""
        return self.image(self.flow.decode(z))

    def image(self, u: torch.Tensor) -> torch.Tensor:
        """Return u, put onto the constraint where there is one."""
        if not self.constrained:
            return u
        operator = self.problem.operator
        return u + operator.pinv(self.problem.y - operator.apply(u))

    def latent(self, u: torch.Tensor) -> torch.Tensor:
        """Return E of the image; of no values where the prior has no latents."""
        return self.prior.latents(self.image(u))

    @undisturbed
    def evaluate(self, u: torch.Tensor, *, gradient: bool = True) -> Evaluation:
        """Return F without `extra`, its terms and its gradient at u."""
        if self.constrained:
            return self._evaluate_constrained(u, gradient)
        evaluation = self._evaluate_prior(u, gradient)
        data, residual = self._data_term(u)
        evaluation.value = data + evaluation.value
        evaluation.data_fidelity = data
        if evaluation.grad is not None:
            evaluation.grad += self._pull_back(u, residual)
        return evaluation

    def splits(self) -> dict[str, Callable[[], Split]]:
        """Return the splits there are.

        ``prior``: gradient of the prior, prox of the data term. ``data``: gradient of both, prox of the
        `extra` term. ``flow``: gradient of the data term, prox of the flow, approximately; of another prior
        that split has the name of its term's prox (``prior-prox`` for an energy, ``denoiser``).

        With an `extra` term only ``data`` remains: its prox takes the backward step. Without a closed form
        the prox of the data term runs conjugate gradients, so ``data`` is preferred then.
        """
        if not self.term.has_gradient:
            return self._splits_without_gradient()
        if self.extra is not None:
            if self.constrained:
                self._refuse_extra_with_constraint()
            return {"data": self._split_data}
        if self.constrained:
            return {"prior": self._split_prior, "data": self._split_data}
        if not isinstance(self.fidelity, LeastSquares):
            # The prox of f(A ·; y) has a closed form only for least squares.
            return {"data": self._split_data} | self._prior_prox_split()
        order = ("prior", "data") if self.problem.operator.has_closed_form else ("data", "prior")
        makers = {"prior": self._split_prior, "data": self._split_data}
        return {name: makers[name] for name in order} | self._prior_prox_split()

    def _splits_without_gradient(self) -> dict[str, Callable[[], Split]]:
        """Return the split that takes the prox of the prior: without a gradient there is no other."""
        if self.constrained or self.extra is not None:
            what = "a hard constraint" if self.constrained else "an extra term"
            raise UnsupportedError(
                f"split: the prior term {self.phi!r} takes the proximal step, which leaves none for {what}; "
                "give a number for lam and no extra term, or use 'hqs' or 'admm'"
            )
        return self._prior_prox_split()

    def _prior_prox_split(self) -> dict[str, Callable[[], Split]]:
        """Return the split of the prior's own prox, or of its iterations where φ has a value to lower."""
        if isinstance(self.term, ImageTerm):
            possible = self.term.has_prox() or self.term.has_value
            return {self.term.prox_name: self._split_flow} if possible else {}
        return {"flow": self._split_flow}

    def counterpart_type(self) -> type[Objective] | None:
        """Return `Synthesis`, but for ``smoothed``, and for a subclass, which may compute another F."""
        from .synthesis import Synthesis

        pair = type(self) is Analysis and self.term.name in Synthesis.phis()
        return Synthesis if pair else None

    def _noiseless_lam(self) -> None:
        if not isinstance(self.fidelity, LeastSquares):
            raise UnsupportedError(
                "lam: 'map' with sigma = 0 is the hard constraint Ax = y, which leaves "
                f"{type(self.fidelity).__name__} nothing to do; give a number for lam"
            )
        require_closed_form(self.problem, "the hard constraint Ax = y (sigma = 0 with lam='map')")

    def _refuse_extra_with_constraint(self) -> None:
        raise UnsupportedError(
            "extra: the prox of an extra term together with the hard constraint has no closed form; "
            "give a number for lam instead of 'map'"
        )

    def _evaluate_prior(self, x: torch.Tensor, gradient: bool) -> Evaluation:
        """Return weight · φ(x), the weight being lam, or 1 with a hard constraint, and its gradient."""
        self.count("evaluations")
        if gradient:
            self.count("gradients")
        if self.smoothing is None:
            return self._evaluate_density(x, gradient)
        perturbed = self.smoothing.perturbed(x)
        if self.smoothing.draws * x[:, 0].numel() <= TOGETHER:
            return self._evaluate_together(torch.cat(list(perturbed)), x, gradient)
        total = reduce(Evaluation.plus, (self._evaluate_density(p, gradient) for p in perturbed))
        return total.scaled(1 / self.smoothing.draws, image=x.detach())

    def _evaluate_together(self, perturbed: torch.Tensor, x: torch.Tensor, gradient: bool) -> Evaluation:
        """Return the mean over perturbed images, which stand one set after the other along the batch."""
        draws = len(perturbed) // len(x)
        whole = copy.copy(self)
        # Passes count for the image that they are of, a weight is that of its image.
        whole.indices = np.tile(self.indices, draws)
        if isinstance(self.lam, torch.Tensor):
            whole.lam = self.lam.repeat(draws)
        each = whole._evaluate_density(perturbed, gradient)

        def mean(values: torch.Tensor) -> torch.Tensor:
            return values.reshape(draws, len(x), *values.shape[1:]).mean(0)

        grad = None if each.grad is None else mean(each.grad)
        return Evaluation(mean(each.value), mean(each.data_fidelity), mean(each.prior), x.detach(), grad)

    def _evaluate_density(self, x: torch.Tensor, gradient: bool) -> Evaluation:
        """Return the same of one image instead of a mean over perturbed ones."""
        if isinstance(self.term, ImageTerm):
            return self._evaluate_image_term(self.term, x, gradient)
        self.count("E")
        leaf = x.detach().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            outputs = self._pass(leaf)
        evaluation = self._density(x, outputs)
        if gradient:
            self.count("vjp_E")
            evaluation.grad = pull_back(outputs, leaf, self._density_cotangents(outputs))
        return evaluation

    def _evaluate_image_term(self, term: ImageTerm, x: torch.Tensor, gradient: bool) -> Evaluation:
        """Return the same where the prior speaks of images themselves: a pass through it counts as ``E``."""
        phi, grad = term.evaluate(x, gradient)
        if term.has_value or grad is not None:
            self.count("E")
        if term.has_value and grad is not None:
            self.count("vjp_E")
        weighted = None if grad is None else self.weigh(grad)
        return Evaluation(self.weigh(phi), torch.zeros_like(phi), phi, x.detach(), weighted)

    def _density(self, x: torch.Tensor, outputs: tuple[torch.Tensor, ...]) -> Evaluation:
        """Return weight · φ(x) from what the flow made of x."""
        z, *log_det = (out.detach() for out in outputs)
        phi = self._energy(z)
        for volume in log_det:
            phi = phi - 2 * volume.double()
        return Evaluation(self.weigh(phi), torch.zeros_like(phi), phi, x.detach())

    def _density_cotangents(self, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        z, *log_det = (out.detach() for out in outputs)
        return (
            self.weigh(self._energy_grad(z)),
            *(self.weigh(torch.full_like(volume, -2)) for volume in log_det),
        )

    def read(self, point: torch.Tensor, outputs: tuple[torch.Tensor, ...]) -> Reading:
        """Return F and what its gradient is made of, from the latents of images, before any constraint."""
        evaluation, cotangents = self._density(point, outputs), self._density_cotangents(outputs)
        if self.constrained:
            return Reading(evaluation, cotangents, None)
        data, residual = self._data_term(point)
        evaluation.value, evaluation.data_fidelity = data + evaluation.value, data
        return Reading(evaluation, cotangents, self._pull_back(point, residual))

    def pair(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | float]:
        """Return image, latent and −2 log|det J_E|, as torch differentiates them."""
        x = self.image(u)
        z, *log_det = self._pass(x)
        return x, z, -2 * log_det[0] if log_det else 0.0

    def prox_data(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return the proximal step of the data term from images v, or their projection onto the constraint.

        Raises
        ------
        UnsupportedError
            If the data term is not least squares.
        """
        if not isinstance(self.fidelity, LeastSquares):
            raise UnsupportedError(
                f"prox: {type(self.fidelity).__name__} of A x has no proximal step; use least squares"
            )
        self.count("prox", "A", "AT")
        operator = self.problem.operator
        return self.image(v) if self.constrained else operator.prox_l2(v, self.problem.y, tau)

    def prox_prior(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return the proximal step of weight · φ from images v: the term's own, or a few iterations.

        Raises
        ------
        UnsupportedError
            If φ has neither.
        """
        self.count("prox")
        if isinstance(self.term, ImageTerm) and self.term.has_prox():
            self.count("E")
            return self.term.prox(v, self.weigh(tau))
        self.require_value("prox of the prior")
        return flow_prox(self, v, tau)

    def _evaluate_constrained(self, u: torch.Tensor, gradient: bool) -> Evaluation:
        self.count("A", "AT")
        evaluation = self._evaluate_prior(self.image(u), gradient)
        if evaluation.grad is not None:
            self.count("A", "AT")
            evaluation.grad = self.problem.operator.project_nullspace(evaluation.grad)
        return evaluation

    def _split_prior(self) -> Split:
        def nonsmooth(u: torch.Tensor) -> torch.Tensor:
            if self.constrained:
                return torch.zeros(len(u), dtype=torch.float64, device=u.device)
            return self._data_term(u)[0]

        def merge(u: torch.Tensor, smooth: Evaluation) -> Evaluation:
            data = nonsmooth(u)
            return dataclasses.replace(smooth, value=smooth.value + data, data_fidelity=data)

        def smooth(u: torch.Tensor, gradient: bool = True) -> Evaluation:
            return self._evaluate_prior(u, gradient)

        return Split("prior", smooth, self.prox_data, nonsmooth, merge, self.has_value, self.has_value)

    def _split_data(self) -> Split:
        extra = self.extra

        def prox(v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
            if extra is None:
                return v
            self.count("prox")
            return extra.prox(v, tau)

        def nonsmooth(u: torch.Tensor) -> torch.Tensor:
            return (
                torch.zeros(len(u), dtype=torch.float64, device=u.device) if extra is None else extra.value(u)
            )

        return Split(
            "data",
            lambda u, gradient=True: self.evaluate(u, gradient=gradient),
            prox,
            nonsmooth,
            self._merge_extra,
            self.has_value,
            self.has_value,
        )

    def _split_flow(self) -> Split:
        def smooth(u: torch.Tensor, gradient: bool = True) -> Evaluation:
            self.count("evaluations")
            data, residual = self._data_term(u)
            grad = None
            if gradient:
                self.count("gradients", "AT")
                grad = self.problem.operator.adjoint(residual)
            return Evaluation(data, data, torch.zeros_like(data), u.detach(), grad)

        def merge(u: torch.Tensor, evaluation: Evaluation) -> Evaluation:
            energy = self._evaluate_prior(u, False)
            return dataclasses.replace(evaluation, value=evaluation.value + energy.value, prior=energy.prior)

        name = self.term.prox_name if isinstance(self.term, ImageTerm) else "flow"

        def nonsmooth(u: torch.Tensor) -> torch.Tensor:
            return self._evaluate_prior(u, False).value

        return Split(name, smooth, self.prox_prior, nonsmooth, merge, whole_has_value=self.has_value)
