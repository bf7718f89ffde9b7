"""The synthesis formulation: optimise the latent (Asim et al., ICML 2020; Oberlin & Verm, 2021, eq. 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from ..ambient import undisturbed
from ..errors import UnsupportedError
from ..fidelities import LeastSquares
from ..flows import FlowPrior
from ..flows.energies import latent_energy_prox
from ..problem import InverseProblem
from .analysis import Analysis
from .base import Objective, require_closed_form
from .evaluation import Evaluation
from .split import Split

#: Penalty that stands for σ = 0: the constraint A D(z) = y has no closed-form projection in z, so the data
#: term is weighted as if σ were about 0.014 and the image that is returned is put onto the constraint.
NOISELESS_LAM = 1e-4


class Synthesis(Objective):
    """F(z) = ½‖A D(z) − y‖² + lam ψ(z) over standardised latents z, then x = D(z).

    ψ(z) = ‖z‖² for ``phi="latent"`` and ‖z‖² + 2 log|det J_D(z)| for ``phi="nll"``, so that
    F_synthesis(z) = F_analysis(D(z)): one objective, two parameterisations.

    With lam="map" and σ = 0, lam is `NOISELESS_LAM` and, where the operator has a closed-form pseudo-inverse,
    the image is x = D(z) + A⁺(y − A D(z)): measured values are put back exactly.

    Parameters
    ----------
    problem, prior, phi, lam
        See `Objective`.
    put_back : bool, optional
        Whether the measured values are put back into the image, x = D(z) + A⁺(y − A D(z)); where not said,
        only where lam="map" and σ = 0.
    extra
        Not available over latents: raises `UnsupportedError`.
    """

    name = "synthesis"
    #: Over latents the volume term of ``nll`` is lowered without end at the price of the image.
    default_phi = "latent"

    def __init__(
        self, problem: InverseProblem, prior: FlowPrior, *, put_back: bool | None = None, **options: Any
    ) -> None:
        super().__init__(problem, prior, **options)
        if self.extra is not None:
            raise UnsupportedError(
                "extra: only the analysis objective takes an extra term; use Analysis(...)"
            )
        noiseless = isinstance(self.lam_given, str) and self.problem.sigma == 0
        noiseless = noiseless and isinstance(self.fidelity, LeastSquares)
        self._put_back_given = put_back
        if put_back:
            require_closed_form(self.problem, "putting measured values back (put_back)")
        #: Whether the measured values are put back into the image.
        self.projects = noiseless and self.problem.operator.has_closed_form if put_back is None else put_back

    def options(self) -> dict[str, Any]:
        """Return whether measured values are put back, where that was said."""
        given = {} if self._put_back_given is None else {"put_back": self._put_back_given}
        return super().options() | given

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """Shape of the latent, (n,)."""
        return (self.prior.n,)

    def from_image(self, x: torch.Tensor) -> torch.Tensor:
        """Return E(x)."""
        with torch.no_grad():
            return self.prior.encode(x.to(self.problem.y))

    def from_latent(self, z: torch.Tensor) -> torch.Tensor:
        """Return a copy of z."""
        return z.to(self.problem.y).clone()

    def image(self, u: torch.Tensor) -> torch.Tensor:
        """Return D(u), with the measured values put back where σ = 0."""
        with torch.no_grad():
            return self._put_back(self.prior.decode(u))

    def latent(self, u: torch.Tensor) -> torch.Tensor:
        """Return u."""
        return u

    @undisturbed
    def evaluate(self, u: torch.Tensor, *, gradient: bool = True) -> Evaluation:
        """Return F, its terms and its gradient at the latent u."""
        self.count("evaluations")
        smooth, energy = self._evaluate_smooth(u, gradient), self._energy(u.detach())
        grad = None if smooth.grad is None else smooth.grad + self.weigh(self._energy_grad(u.detach()))
        return dataclasses.replace(
            smooth, value=smooth.value + self.weigh(energy), prior=smooth.prior + energy, grad=grad
        )

    def splits(self) -> dict[str, Callable[[], Split]]:
        """Return ``latent``: gradient of the data term (and of log-det), prox of the rest, lam‖z‖²."""
        return {"latent": self._split_latent}

    def counterpart_options(self) -> dict[str, Any]:
        """Return the options without `put_back`, which concerns the image of a latent only."""
        return {name: value for name, value in self.options().items() if name != "put_back"}

    def counterpart_type(self) -> type[Objective] | None:
        """Return `Analysis`, unless this is a subclass, which may compute another F."""
        return Analysis if type(self) is Synthesis else None

    def _noiseless_lam(self) -> float:
        return NOISELESS_LAM

    def _put_back(self, x: torch.Tensor) -> torch.Tensor:
        if not self.projects:
            return x
        operator = self.problem.operator
        return x + operator.pinv(self.problem.y - operator.apply(x))

    def _evaluate_smooth(self, u: torch.Tensor, gradient: bool) -> Evaluation:
        """Return F without lam‖z‖²; its field `prior` holds 2 log|det J_D| (0 for ``latent``)."""
        self.count("D")
        leaf = u.detach().clone().requires_grad_(gradient)
        log_det: torch.Tensor | None = None
        with torch.set_grad_enabled(gradient):
            if self.phi == "nll":
                x, log_det = self.prior.decode(leaf, log_det=True)
            else:
                x = self.prior.decode(leaf)
        data, residual = self._data_term(x.detach())
        grad = None
        if gradient:
            self.count("gradients", "vjp_D")
            outputs, cotangents = [x], [self._pull_back(x.detach(), residual)]
            # A flow without learned split priors has the same volume everywhere.
            if log_det is not None and log_det.requires_grad:
                outputs, cotangents = [x, log_det], [*cotangents, self.weigh(torch.full_like(log_det, 2))]
            (grad,) = torch.autograd.grad(outputs, leaf, cotangents)
        prior = torch.zeros_like(data) if log_det is None else 2 * log_det.detach().double()
        return Evaluation(data + self.weigh(prior), data, prior, self._put_back(x.detach()), grad)

    def _split_latent(self) -> Split:
        def smooth(u: torch.Tensor, gradient: bool = True) -> Evaluation:
            self.count("evaluations")
            return self._evaluate_smooth(u, gradient)

        def prox(v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
            self.count("prox")
            return latent_energy_prox(v, self.phi, self.prior.latent_sizes, self.weigh(tau))

        def nonsmooth(u: torch.Tensor) -> torch.Tensor:
            return self.weigh(self._energy(u))

        def merge(u: torch.Tensor, evaluation: Evaluation) -> Evaluation:
            energy = self._energy(u)
            return dataclasses.replace(
                evaluation, value=evaluation.value + self.weigh(energy), prior=evaluation.prior + energy
            )

        return Split("latent", smooth, prox, nonsmooth, merge)
