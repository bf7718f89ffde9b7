"""What every solver sees: a batch of independent objectives with values, gradients and proximal splits.

The two formulations differ in the variable that is optimised, not in how a solver treats them, so
everything a solver may ask stands here and ``analysis.py`` and ``synthesis.py`` say only how to compute it.
Values are summed in float64 whatever the images' dtype: with 12 288 pixels the rounding of a float32 sum
is larger than the decrease a line search has to see.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from .. import functionals
from ..described import Described
from ..errors import ArgumentError, UnsupportedError
from ..fidelities import Fidelity, HeldOutLeastSquares, LeastSquares
from ..functionals import Functional
from ..priors.base import FlowPrior, Prior, require_flow
from ..priors.terms import LATENTS, ImageTerm, LatentTerm, PriorTerm, names_of
from ..priors.terms import registry as prior_terms
from ..problem import InverseProblem
from ..registry import Registry
from ..tally import Tally
from .batch import inner as inner
from .batch import per_image as per_image
from .batch import sum_squares as sum_squares
from .evaluation import Evaluation
from .reading import Reading
from .split import Split
from .weights import Weight, checked_weight, map_factor

Self = TypeVar("Self", bound="Objective")

OF_NOISE = "of_noise"
"""Key of the description of a data term that is made again from the noise of the problem."""


class Objective(Described, ABC):
    """Common part of `Analysis` and `Synthesis`.

    Parameters
    ----------
    problem : InverseProblem
        Operator, measurements and noise level. Moved to the prior's device and dtype.
    prior : Prior
        The flow; over images also an energy or a denoiser.
    phi : str, optional
        The prior term, by its name. Of a flow: ``latent`` is ‖E(x)‖² (Oberlin & Verm, ICIP 2021, eq. 4);
        ``nll`` is ‖E(x)‖² − 2 log|det J_E(x)|, twice the negative log-density up to a constant; ``typical``
        is how far the norm of each level of E(x) is from where the model puts it (see
        `flowsolve.priors.latent_terms`). For those of other priors, and one of your own, see
        `flowsolve.priors`. Unless given, the prior's, or else the class's, `default_phi`.
    lam : float, sequence of float, "map" or a multiple such as "0.3map"
        Weight of φ, for all images or one for each. ``"map"`` is σ²/2, which makes F proportional to the
        negative log-posterior. With σ = 0 it stands for the hard constraint Ax = y (see the classes for how
        each formulation treats it). With a `fidelity` other than least squares, taken as a negative
        log-likelihood, ``"map"`` is ½.
    extra : Functional, optional
        One more term g with a proximal operator (a box, total variation, any Pyxu functional).
    fidelity : Fidelity, optional
        Data term f(Ax; y); unless given, the one that suits the problem's noise: ½‖Ax − y‖² for Gaussian
        noise, `flowsolve.fidelities.KullbackLeibler` for photon counts.

    Raises
    ------
    ArgumentError
        If an option is not one of those above or the prior does not fit the images.
    """

    name: ClassVar[str]
    default_phi: ClassVar[str]
    #: What the variable is: ``images`` or ``latents``.
    space: ClassVar[str]
    #: The map between images and latents that F takes, as it is counted.
    map: ClassVar[str]

    def __init__(
        self,
        problem: InverseProblem,
        prior: Prior,
        *,
        phi: str | None = None,
        lam: Weight | str = "map",
        extra: Functional | None = None,
        fidelity: Fidelity | None = None,
    ) -> None:
        if not isinstance(problem, InverseProblem):
            raise ArgumentError("problem", type(problem).__name__, "an InverseProblem")
        if not isinstance(prior, Prior):
            raise ArgumentError("prior", type(prior).__name__, "a prior, as load_prior returns it")
        if self.space == LATENTS:
            require_flow(prior, f"the {self.name} objective")
        if extra is not None and not isinstance(extra, Functional):
            of_pyxu = type(extra).__module__.startswith("pyxu") or hasattr(extra, "prox")
            accepted = "a flowsolve.functionals.Functional"
            accepted += f"; PyxuFunctional({type(extra).__name__}(...)) makes one of it" if of_pyxu else ""
            raise ArgumentError("extra", type(extra).__name__, accepted)
        self.shape = tuple(problem.operator.dim_shape)
        self.prior = prior.fitted(self.shape)
        self.term = self._make_term(phi)
        self.problem = problem.to(device=prior.device, dtype=prior.dtype)
        if fidelity is not None and not isinstance(fidelity, Fidelity):
            raise ArgumentError("fidelity", type(fidelity).__name__, "a flowsolve.fidelities.Fidelity")
        self._fidelity_of_noise = fidelity is None
        self.fidelity = self.problem.noise.data_fidelity(self.problem.y) if fidelity is None else fidelity
        self.extra = extra
        self.lam_given = lam
        self.lam = self._resolve_lam(lam)
        self.indices = np.arange(len(problem))
        self.tally = Tally(len(problem))

    def __len__(self) -> int:
        return len(self.problem)

    @classmethod
    def phis(cls, kind: type[Any] = LatentTerm) -> tuple[str, ...]:
        """Return the names of the prior terms that the formulation has, of flows unless asked for others."""
        return names_of(cls.space, kind)

    @property
    def phi(self) -> str:
        """Name of the prior term."""
        return self.term.name

    @property
    def flow(self) -> FlowPrior:
        """The prior, where it is a flow.

        Raises
        ------
        UnsupportedError
            If it is none.
        """
        return require_flow(self.prior, f"the {self.name} objective")

    @property
    def has_value(self) -> bool:
        """Whether F has a value, and not only a gradient or proximal steps."""
        return self.term.has_value

    def in_lines(self) -> list[str]:
        """Return what matters, in words."""
        lam = "subject to Ax = y" if self.lam is None else f"lam {self.lam}"
        return [
            f"{type(self).__name__}: {len(self)} image{'s' if len(self) > 1 else ''} {self.shape}",
            f"data term: {type(self.fidelity).__name__} of {self.problem.operator}",
            f"prior term: {self.phi}, {lam}, prior {self.prior.name}",
            *([] if self.extra is None else [f"extra term: {type(self.extra).__name__}"]),
        ]

    @property
    def constrained(self) -> bool:
        """Whether Ax = y is a hard constraint, so that `lam` is None."""
        return self.lam is None

    @property
    def weight(self) -> float | torch.Tensor:
        """Factor of φ in F: `lam`, or 1 with a hard constraint; shape (N,), float64, where images differ."""
        return 1.0 if self.lam is None else self.lam

    def weigh(self, a: torch.Tensor) -> torch.Tensor:
        """Return a tensor whose first axis is the batch times the `weight` of each image."""
        weight = self.weight
        return weight * a if isinstance(weight, float) else per_image(weight, a) * a

    def with_lam(self: Self, lam: Weight) -> Self:
        """Return the same objective with another weight; counts go on in the same tally.

        Raises
        ------
        UnsupportedError
            If Ax = y is a hard constraint: φ has no weight then.
        """
        if self.constrained:
            raise UnsupportedError(
                "lam: with the hard constraint Ax = y (sigma = 0 with lam='map') the prior has no weight; "
                "give a number for lam"
            )
        other = copy.copy(self)
        other.lam_given, other.lam = lam, other._resolve_lam(lam)
        return other

    def with_own_tally(self: Self) -> Self:
        """Return the same objective, whose images count from 0 in a tally of their own: that of a run."""
        other = copy.copy(self)
        other.indices, other.tally = np.arange(len(self)), Tally(len(self))
        return other

    def _make_term(self, phi: str | None) -> PriorTerm:
        """Return the prior term of a name for this prior and formulation."""
        phi = phi or self.prior.default_phi or self.default_phi
        known = [n for n in self.phis(PriorTerm) if prior_terms.get(n).suits(self.prior)]
        if phi not in known:
            names = " or ".join(map(repr, known)) or "none"
            raise ArgumentError(
                "phi", repr(phi), f"{names} for the {self.name} objective with {self.prior.name!r}"
            )
        cls = prior_terms.get(phi)
        return cls(self.prior) if issubclass(cls, ImageTerm) else cls()

    @property
    @abstractmethod
    def variable_shape(self) -> tuple[int, ...]:
        """Shape of the variable of one image."""

    @abstractmethod
    def from_image(self, x: torch.Tensor) -> torch.Tensor:
        """Return the variable that stands for the image x."""

    @abstractmethod
    def from_latent(self, z: torch.Tensor) -> torch.Tensor:
        """Return the variable that stands for the latent z."""

    @abstractmethod
    def image(self, u: torch.Tensor) -> torch.Tensor:
        """Return the image, shape (N, C, H, W), that the variable u stands for."""

    def put_back(self, x: torch.Tensor) -> torch.Tensor:
        """Return images with the measured values put back, where the objective does that."""
        return x

    @abstractmethod
    def latent(self, u: torch.Tensor) -> torch.Tensor:
        """Return the standardised latent, shape (N, n), of the image that u stands for."""

    def prox_data(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return the proximal step of the data term from v, tau of shape (N,)."""
        raise UnsupportedError(f"prox: the {self.name} objective has no proximal step of the data term")

    def prox_prior(self, v: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """Return the proximal step of weight · φ from v, tau of shape (N,)."""
        raise UnsupportedError(f"prox: the {self.name} objective has no proximal step of the prior term")

    @abstractmethod
    def evaluate(self, u: torch.Tensor, *, gradient: bool = True) -> Evaluation:
        """Return F without `extra`, its terms and its gradient at u."""

    @abstractmethod
    def splits(self) -> dict[str, Callable[[], Split]]:
        """Return the proximal splits this objective has, the preferred one first."""

    def value(self, u: torch.Tensor) -> torch.Tensor:
        """Return F(u), shape (N,), float64, of every image, `extra` included; NaN where it has no value."""
        value = self.evaluate(self._check_variable(u), gradient=False).value
        return value if self.extra is None else value + self.extra.value(u)

    def value_and_grad(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return F(u), shape (N,), and its gradient, of the shape of u.

        Raises
        ------
        UnsupportedError
            If the objective has an `extra` term, which need not be differentiable.
        """
        self.require_smooth("value_and_grad")
        evaluation = self.evaluate(self._check_variable(u))
        assert evaluation.grad is not None
        return evaluation.value, evaluation.grad

    def require_smooth(self, who: str) -> None:
        """Raise `UnsupportedError` if F has no gradient: an `extra` term, or a prior term without one."""
        self.require_no_extra(who)
        if not self.term.has_gradient:
            raise UnsupportedError(
                f"{who}: the prior term {self.phi!r} has a proximal step but no gradient; use "
                "'forward_backward', 'hqs' or 'admm'"
            )

    def require_no_extra(self, who: str) -> None:
        """Raise `UnsupportedError` if F has an `extra` term, naming the solver that takes one."""
        if self.extra is not None:
            from ..solvers.base import solvers_taking

            able = ", ".join(map(repr, solvers_taking("extra")))
            raise UnsupportedError(
                f"{who}: the objective has the extra term {type(self.extra).__name__}, which has a proximal "
                f"operator but no gradient; solvers that take it: {able}"
            )

    def require_value(self, who: str) -> None:
        """Raise `UnsupportedError` if F has no value, naming the solvers that can do without."""
        if not self.has_value:
            from ..solvers.base import solvers_taking

            able = ", ".join(map(repr, solvers_taking("fields")))
            raise UnsupportedError(
                f"{who}: F has no value with the prior term {self.phi!r} of {self.prior.name!r}, and this "
                f"compares values; solvers that work without: {able} (descents with search='fixed')"
            )

    def split(self, name: str = "auto") -> Split:
        """Return a proximal split by name; ``auto`` takes the preferred one.

        Raises
        ------
        ArgumentError
            If the objective has no such split; the message lists those it has.
        """
        available = self.splits()
        if not available:
            raise UnsupportedError(
                f"split: the {self.name} objective has no proximal split; use 'lbfgs' or 'adam'"
            )
        if name == "auto":
            return next(iter(available.values()))()
        if name not in available:
            raise ArgumentError("split", repr(name), " or ".join(map(repr, ["auto", *available])))
        return available[name]()

    def select(self: Self, index: Sequence[int] | torch.Tensor) -> Self:
        """Return the objective of the images at `index` alone; counts go on in the same tally."""
        picked = torch.as_tensor(index)
        other = copy.copy(self)
        chosen = picked.cpu().numpy()
        other.problem = self.problem.select(picked)
        other.fidelity = self.fidelity.select(chosen.tolist())
        other.indices = self.indices[chosen]
        if isinstance(self.lam, torch.Tensor):
            other.lam = self.lam[picked.to(self.lam.device)]
        return other

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments beside the usual ones, JSON-able."""
        return {}

    def counterpart_options(self) -> dict[str, Any]:
        """Return the `options` that the counterpart takes too."""
        return self.options()

    def counterpart_type(self) -> type[Objective] | None:
        """Return the class of the same F over the other variable, or None where there is none."""
        return None

    @property
    def of_pair(self) -> bool:
        """Whether F is f(Ax) + w ψ(z) of one image x and its latent z, and thus the same in both spaces."""
        return self.counterpart_type() is not None

    def counterpart(self) -> Objective:
        """Return the same F over the other variable, latents for images or images for latents.

        It counts in the same tally.

        Raises
        ------
        UnsupportedError
            If there are no two formulations of this F.
        """
        kind = self.counterpart_type()
        if kind is None:
            raise UnsupportedError(
                f"the {self.name} objective has no formulation of the same F in the other space"
            )
        fidelity = None if self._fidelity_of_noise else self.fidelity
        options = dict(self.counterpart_options(), phi=self.phi, lam=self.weight, fidelity=fidelity)
        other = kind(self.problem, self.prior, **options)
        other.tally, other.indices = self.tally, self.indices
        return other

    def monitors(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the trace records of images beside F and its terms, each of shape (N,), uncounted."""
        if not isinstance(self.fidelity, HeldOutLeastSquares):
            return {}
        return {"held_out": self.fidelity.misfit(self.problem.operator.apply(image), self.problem.y)}

    def count(self, *names: str) -> None:
        """Count one of each of `names` for the images of this objective."""
        self.tally.add(self.indices, *names)

    def config(self) -> dict[str, Any]:
        """Return what the run record needs to build this objective again."""
        return {
            "formulation": self.name,
            "phi": self.phi,
            "lam": self.lam.tolist() if isinstance(self.lam, torch.Tensor) else self.lam_given,
            "lam_value": self.lam.tolist() if isinstance(self.lam, torch.Tensor) else self.lam,
            "constrained": self.constrained,
            "fidelity": self._fidelity_config(),
            "extra": None if self.extra is None else self.extra.config(),
            "options": self.options(),
            **({} if self.has_value else {"has_value": False}),
        }

    def _fidelity_config(self) -> dict[str, Any]:
        """Return the description of the data term; one that follows from noise and measurements says so."""
        described = self.fidelity.config()
        if not self._fidelity_of_noise or len(described) == 1:
            return described
        return {"name": described["name"], OF_NOISE: True}

    def _resolve_lam(self, lam: Weight | str) -> float | torch.Tensor | None:
        if isinstance(lam, str) and lam == "map":
            return self._map_lam()
        factor = map_factor(lam)
        if factor is not None:
            whole = self._map_lam()
            # Without noise the MAP weight has no multiples: it is the limit itself.
            if whole is None or (isinstance(self.fidelity, LeastSquares) and self.problem.sigma == 0):
                self.lam_given = "map"
                return whole
            self.lam_given = lam = factor * whole
        return checked_weight(lam, len(self), self.problem.y.device)

    def _map_lam(self) -> float | None:
        """Return the weight at which F is proportional to the negative log-posterior."""
        if not isinstance(self.fidelity, LeastSquares | HeldOutLeastSquares):
            return 0.5
        sigma = self.problem.sigma
        return self.term.map_weight(sigma) if sigma > 0 else self._noiseless_lam()

    @property
    def latent_term(self) -> LatentTerm:
        """The prior term, where it is one of latents."""
        assert isinstance(self.term, LatentTerm)
        return self.term

    def _energy(self, z: torch.Tensor) -> torch.Tensor:
        """Return φ as a function of the latent, the log-determinant apart, shape (N,), float64."""
        return self.latent_term.value(z, self.flow.latent_sizes)

    def _energy_grad(self, z: torch.Tensor) -> torch.Tensor:
        """Return the gradient of `_energy`, of the shape of z."""
        return self.latent_term.grad(z, self.flow.latent_sizes)

    def _pass(self, point: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what the flow makes of images or latents, followed by the log-determinant if φ needs it."""
        flow = self.flow.encode if self.map == "E" else self.flow.decode
        return flow(point, log_det=True) if self.latent_term.needs_log_det else (flow(point),)

    def read(self, point: torch.Tensor, outputs: tuple[torch.Tensor, ...]) -> Reading:
        """Return F and what its gradient is made of, from what `_pass` returned at images or latents."""
        raise NotImplementedError(f"{type(self).__name__} is not made of one pass of a flow")

    def pair(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | float]:
        """Return image, latent and the share of the log-determinant in φ, as torch differentiates them."""
        raise NotImplementedError(f"{type(self).__name__} is not made of one pass of a flow")

    @abstractmethod
    def _noiseless_lam(self) -> float | None:
        """Return what lam="map" means with σ = 0."""

    def _check_variable(self, u: torch.Tensor) -> torch.Tensor:
        if not isinstance(u, torch.Tensor):
            raise ArgumentError("u", type(u).__name__, "a torch tensor")
        if tuple(u.shape) != (len(self), *self.variable_shape):
            shape = (len(self), *self.variable_shape)
            raise ArgumentError("u", f"shape {tuple(u.shape)}", f"{shape} for the {self.name} objective")
        return u

    def _data_term(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return f(Ax; y), shape (N,), float64, and its gradient with respect to Ax: the residual Ax − y."""
        measured, y = self.problem.operator.apply(x), self.problem.y
        self.count("A")
        return self.fidelity.value(measured, y), self.fidelity.grad(measured, y)

    def data_value(self, x: torch.Tensor) -> torch.Tensor:
        """Return the data term of images, shape (N,), as torch differentiates it, uncounted."""
        return self.fidelity.value(self.problem.operator.apply(x), self.problem.y)

    def _pull_back(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the data term over images: Aᵀ of what `_data_term` returned at x."""
        self.count("AT")
        return self.problem.operator.adjoint(residual)

    def _merge_extra(self, u: torch.Tensor, evaluation: Evaluation) -> Evaluation:
        if self.extra is None:
            return evaluation
        merged = copy.copy(evaluation)
        merged.value = evaluation.value + self.extra.value(u)
        return merged


registry: Registry[type[Objective]] = Registry("objective", "flowsolve.objectives")


def register_objective(name: str) -> Callable[[type[Objective]], type[Objective]]:
    """Return a class decorator that registers an objective under `name`, by which records know it."""

    def store(kind: type[Objective]) -> type[Objective]:
        registry.register(name)(kind)
        kind.name = name
        return kind

    return store


def require_describable(objective: Objective) -> None:
    """Refuse an objective that could not be made again from a record of it.

    Raises
    ------
    UnsupportedError
        If its class, or that of its extra term, is not registered.
    """
    if objective.name not in registry or registry.get(objective.name) is not type(objective):
        raise UnsupportedError(
            f"objective: {type(objective).__name__} cannot be described, as a record does: it is not "
            'registered; put @flowsolve.objectives.register_objective("NAME") before the class'
        )
    if objective.extra is not None:
        functionals.describe(objective.extra)


def require_closed_form(problem: InverseProblem, purpose: str) -> None:
    """Raise `UnsupportedError` if the operator has no closed-form pseudo-inverse."""
    if not problem.operator.has_closed_form:
        raise UnsupportedError(
            f"{purpose} needs an operator with a closed-form pseudo-inverse (masks, circular blur, "
            f"block-average downsampling, identity); {problem.operator} has none: give sigma > 0 or a "
            "number for lam"
        )
