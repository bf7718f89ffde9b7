"""The synthesis formulation: optimise the latent (Asim et al., ICML 2020; Oberlin & Verm, 2021, eq. 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from ..ambient import undisturbed
from ..errors import UnsupportedError
from ..fidelities import LeastSquares
from ..priors.base import FlowPrior
from ..priors.terms import LATENTS
from ..problem import InverseProblem
from .analysis import Analysis
from .base import Objective, require_closed_form
from .evaluation import Evaluation
from .reading import Reading, pull_back
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
    space = LATENTS
    map = "D"
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
        return (self.flow.n,)

    def from_image(self, x: torch.Tensor) -> torch.Tensor:
        """Return E(x)."""
        with torch.no_grad():
            return self.flow.encode(x.to(self.problem.y))

    def from_latent(self, z: torch.Tensor) -> torch.Tensor:
        """Return a copy of z."""
        return z.to(self.problem.y).clone()

    def image(self, u: torch.Tensor) -> torch.Tensor:
        """Return D(u), with the measured values put back where σ = 0."""
        with torch.no_grad():
            return self.put_back(self.flow.decode(u))

    def latent(self, u: torch.Tensor) -> torch.Tensor:
        """Return u."""
        return u

    @undisturbed
    def evaluate(self, u: torch.Tensor, *, gradient: bool = True) -> Evaluation:
        """Return F, its terms and its gradient at the latent u."""
        self.count("evaluations")
        smooth = self._evaluate_smooth(u, gradient)
        grad = None if smooth.grad is None else smooth.grad + self.weigh(self._energy_grad(u.detach()))
        return dataclasses.replace(self._with_energy(u.detach(), smooth), grad=grad)

    def splits(self) -> dict[str, Callable[[], Split]]:
        """Return ``latent``: gradient of the data term (and of log-det), prox of the rest, lam‖z‖²."""
        return {"latent": self._split_latent} if self.term.has_prox() else {}

    def counterpart_options(self) -> dict[str, Any]:
        """Return the options without `put_back`, which concerns the image of a latent only."""
        return {name: value for name, value in self.options().items() if name != "put_back"}

    def counterpart_type(self) -> type[Objective] | None:
        """Return `Analysis`, unless this is a subclass, which may compute another F."""
        return Analysis if type(self) is Synthesis else None

    def _noiseless_lam(self) -> float:
        return NOISELESS_LAM

    def put_back(self, x: torch.Tensor) -> torch.Tensor:
        """Return images with the measured values put back, where the objective does that."""
        if not self.projects:
            return x
        operator = self.problem.operator
        return x + operator.pinv(self.problem.y - operator.apply(x))

    def _evaluate_smooth(self, u: torch.Tensor, gradient: bool) -> Evaluation:
        """Return F without lam‖z‖²; its field `prior` holds 2 log|det J_D| (0 for ``latent``)."""
        self.count("D")
        leaf = u.detach().clone().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            outputs = self._pass(leaf)
        evaluation, residual = self._smooth(outputs)
        if gradient:
            self.count("gradients", "vjp_D")
            evaluation.grad = pull_back(outputs, leaf, self._smooth_cotangents(outputs, residual))
        return evaluation

    def _smooth(self, outputs: tuple[torch.Tensor, ...]) -> tuple[Evaluation, torch.Tensor]:
        """Return F without lam‖z‖² from what the flow made of z, and the residual of the data term."""
        x, *log_det = (out.detach() for out in outputs)
        data, residual = self._data_term(x)
        prior = 2 * log_det[0].double() if log_det else torch.zeros_like(data)
        return Evaluation(data + self.weigh(prior), data, prior, self.put_back(x)), residual

    def _smooth_cotangents(
        self, outputs: tuple[torch.Tensor, ...], residual: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        x, *log_det = (out.detach() for out in outputs)
        return (self._pull_back(x, residual), *(self.weigh(torch.full_like(t, 2)) for t in log_det))

    def _with_energy(self, u: torch.Tensor, smooth: Evaluation) -> Evaluation:
        """Return F at u of the evaluation without lam‖z‖²."""
        energy = self._energy(u)
        return dataclasses.replace(
            smooth, value=smooth.value + self.weigh(energy), prior=smooth.prior + energy
        )

    def read(self, point: torch.Tensor, outputs: tuple[torch.Tensor, ...]) -> Reading:
        """Return F and what its gradient is made of, from the images of latents."""
        smooth, residual = self._smooth(outputs)
        direct = self.weigh(self._energy_grad(point))
        return Reading(self._with_energy(point, smooth), self._smooth_cotangents(outputs, residual), direct)

    def pair(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | float]:
        """Return image, latent and 2 log|det J_D|, as torch differentiates them."""
        x, *log_det = self._pass(u)
        return x, u, 2 * log_det[0] if log_det else 0.0

    def _split_latent(self) -> Split:
        def smooth(u: torch.Tensor, gradient: bool = True) -> Evaluation:
            self.count("evaluations")
            return self._evaluate_smooth(u, gradient)

        def prox(v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
            self.count("prox")
            return self.latent_term.prox(v, self.flow.latent_sizes, self.weigh(tau))

        def nonsmooth(u: torch.Tensor) -> torch.Tensor:
            return self.weigh(self._energy(u))

        return Split("latent", smooth, prox, nonsmooth, self._with_energy)
