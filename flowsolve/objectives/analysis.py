"""The analysis formulation: optimise the image itself (Oberlin & Verm, ICIP 2021, eq. 4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch

from ..ambient import undisturbed
from ..errors import ArgumentError, UnsupportedError
from ..fidelities import LeastSquares
from ..flows import FlowPrior
from ..problem import InverseProblem
from .base import PHIS, Objective, require_closed_form
from .evaluation import Evaluation
from .flow_prox import flow_prox
from .smoothing import SMOOTHED, Smoothing
from .split import Split


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
    #: Over images ``latent`` soon drifts to noise of low norm, so the density's volume term is kept.
    default_phi = "nll"
    phis = (*PHIS, SMOOTHED)

    def __init__(
        self,
        problem: InverseProblem,
        prior: FlowPrior,
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
        return self.image(self.prior.decode(z))

    def image(self, u: torch.Tensor) -> torch.Tensor:
        """Return u, put onto the constraint where there is one."""
        if not self.constrained:
            return u
        operator = self.problem.operator
        return u + operator.pinv(self.problem.y - operator.apply(u))

    def latent(self, u: torch.Tensor) -> torch.Tensor:
        """Return E of the image."""
        return self.prior.encode(self.image(u))

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

        ``prior``: gradient of the flow, prox of the data term. ``data``: gradient of both, prox of the
        `extra` term. ``flow``: gradient of the data term, prox of the flow, approximately.

        With an `extra` term only ``data`` remains: its prox takes the backward step. Without a closed form
        the prox of the data term runs conjugate gradients, so ``data`` is preferred then.
        """
        if self.extra is not None:
            if self.constrained:
                self._refuse_extra_with_constraint()
            return {"data": self._split_data}
        if self.constrained:
            return {"prior": self._split_prior, "data": self._split_data}
        if not isinstance(self.fidelity, LeastSquares):
            # The prox of f(A ·; y) has a closed form only for least squares.
            return {"data": self._split_data, "flow": self._split_flow}
        order = ("prior", "data") if self.problem.operator.has_closed_form else ("data", "prior")
        makers = {"prior": self._split_prior, "data": self._split_data}
        return {name: makers[name] for name in order} | {"flow": self._split_flow}

    def counterpart_type(self) -> type[Objective] | None:
        """Return `Synthesis`, but for ``smoothed``, and for a subclass, which may compute another F."""
        from .synthesis import Synthesis

        return Synthesis if type(self) is Analysis and self.smoothing is None else None

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
        total = reduce(
            Evaluation.plus, (self._evaluate_density(p, gradient) for p in self.smoothing.perturbed(x))
        )
        return total.scaled(1 / self.smoothing.draws, image=x.detach())

    def _evaluate_density(self, x: torch.Tensor, gradient: bool) -> Evaluation:
        """Return the same of one image instead of a mean over perturbed ones."""
        self.count("E")
        leaf = x.detach().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            if self.phi in ("nll", SMOOTHED):
                z, log_det = self.prior.encode(leaf, log_det=True)
            else:
                z, log_det = self.prior.encode(leaf), None
        phi = self._energy(z.detach())
        if log_det is not None:
            phi = phi - 2 * log_det.detach().double()
        grad = None
        if gradient:
            self.count("vjp_E")
            outputs, cotangents = [z], [self.weigh(self._energy_grad(z.detach()))]
            # A flow without learned split priors has the same volume everywhere.
            if log_det is not None and log_det.requires_grad:
                outputs, cotangents = [z, log_det], [*cotangents, self.weigh(torch.full_like(log_det, -2))]
            (grad,) = torch.autograd.grad(outputs, leaf, cotangents)
        return Evaluation(self.weigh(phi), torch.zeros_like(phi), phi, x.detach(), grad)

    def _evaluate_constrained(self, u: torch.Tensor, gradient: bool) -> Evaluation:
        self.count("A", "AT")
        evaluation = self._evaluate_prior(self.image(u), gradient)
        if evaluation.grad is not None:
            self.count("A", "AT")
            evaluation.grad = self.problem.operator.project_nullspace(evaluation.grad)
        return evaluation

    def _split_prior(self) -> Split:
        operator, y = self.problem.operator, self.problem.y

        def prox(v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
            self.count("prox", "A", "AT")
            return self.image(v) if self.constrained else operator.prox_l2(v, y, tau)

        def nonsmooth(u: torch.Tensor) -> torch.Tensor:
            if self.constrained:
                return torch.zeros(len(u), dtype=torch.float64, device=u.device)
            return self._data_term(u)[0]

        def merge(u: torch.Tensor, smooth: Evaluation) -> Evaluation:
            data = nonsmooth(u)
            return dataclasses.replace(smooth, value=smooth.value + data, data_fidelity=data)

        return Split(
            "prior", lambda u, gradient=True: self._evaluate_prior(u, gradient), prox, nonsmooth, merge
        )

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

        def prox(v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
            self.count("prox")
            return flow_prox(self, v, tau)

        def merge(u: torch.Tensor, evaluation: Evaluation) -> Evaluation:
            energy = self._evaluate_prior(u, False)
            return dataclasses.replace(evaluation, value=evaluation.value + energy.value, prior=energy.prior)

        return Split("flow", smooth, prox, lambda u: self._evaluate_prior(u, False).value, merge)
