"""Solvers of ``scipy.optimize.minimize`` that scale to images: gradients, no dense Hessian.

SciPy computes in float64 on the host; evaluations are made in the objective's dtype and on its device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ...errors import ArgumentError
from ...functionals import Box
from ...numbers import is_number
from ...objectives.base import Objective
from ..base import register_solver, require_positive
from .bridge import External
from .rendezvous import Oracle

#: The driver owns the budget, so the library gets none.
UNLIMITED = 2**31 - 1


@dataclass(frozen=True)
class SciPy(External):
    """A method of ``scipy.optimize.minimize``; its options are passed through."""

    method: ClassVar[str]
    products: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, value in self.config().items():
            if is_number(value):
                require_positive(name, value, zero=True)

    def minimise(self, oracle: Oracle, objective: Objective, trial: float) -> bool:
        """Run ``scipy.optimize.minimize``."""
        from scipy.optimize import minimize

        shape = oracle.start.shape

        def tensor(v: np.ndarray) -> torch.Tensor:
            # SciPy writes to its arrays later on: a point that is remembered must be a copy.
            return torch.from_numpy(np.array(v, dtype=np.float64)).reshape(shape)

        def value_and_grad(v: np.ndarray) -> tuple[float, np.ndarray]:
            evaluation = oracle.evaluate(tensor(v))
            assert evaluation.grad is not None
            return float(evaluation.value), np.array(evaluation.grad.double().cpu().numpy()).ravel()

        def product(v: np.ndarray, p: np.ndarray) -> np.ndarray:
            return oracle.product(tensor(v), tensor(p)).numpy().ravel()

        found = minimize(
            value_and_grad,
            oracle.start.numpy().ravel(),
            jac=True,
            hessp=product if self.products else None,
            method=self.method,
            bounds=self._bounds(objective),
            callback=lambda v: oracle.iterate(tensor(v)),
            options={**self._options(), "maxiter": UNLIMITED},
        )
        return bool(found.success)

    def _options(self) -> dict[str, Any]:
        return self.config()

    def _bounds(self, objective: Objective) -> Any:
        return None


@register_solver("scipy:L-BFGS-B")
@dataclass(frozen=True)
class LBFGSB(SciPy):
    """SciPy's L-BFGS-B: limited-memory quasi-Newton; takes a `Box` as bounds.

    Parameters
    ----------
    maxcor : int
        Number of pairs kept.
    ftol : float
        Converged when F fell by at most ftol · max(1, |F|) in an iteration.
    gtol : float
        Converged when no entry of the (projected) gradient is larger.
    maxls : int
        Evaluations of one line search.
    """

    method = "L-BFGS-B"

    maxcor: int = 10
    ftol: float = 2.220446049250313e-09
    gtol: float = 1e-5
    maxls: int = 20

    def check(self, objective: Objective) -> None:
        """Refuse extra terms other than a box, and a box beside a hard constraint."""
        if self._box(objective) is None:
            super().check(objective)

    def start(self, objective: Objective, u: torch.Tensor) -> torch.Tensor:
        """Return the start, clipped to the bounds."""
        box = self._box(objective)
        return u if box is None else u.clamp(box.lower, box.upper)

    def _options(self) -> dict[str, Any]:
        return {**self.config(), "maxfun": UNLIMITED}

    def _bounds(self, objective: Objective) -> Any:
        from scipy.optimize import Bounds

        box = self._box(objective)
        return None if box is None else Bounds(box.lower, box.upper)

    def _box(self, objective: Objective) -> Box | None:
        extra = getattr(objective, "extra", None)
        return extra if isinstance(extra, Box) and not objective.constrained else None


@register_solver("scipy:CG")
@dataclass(frozen=True)
class CG(SciPy):
    """SciPy's CG: nonlinear conjugate gradients of Polak and Ribière.

    Parameters
    ----------
    gtol : float
        Converged when no entry of the gradient is larger.
    c1, c2 : float
        Constants of the Wolfe conditions.
    """

    method = "CG"

    gtol: float = 1e-5
    c1: float = 1e-4
    c2: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_wolfe(self.c1, self.c2)


@register_solver("scipy:Newton-CG")
@dataclass(frozen=True)
class NewtonCG(SciPy):
    """SciPy's Newton-CG: inexact Newton steps by conjugate gradients, line search.

    Parameters
    ----------
    xtol : float
        Converged when the mean absolute change of the variable is at most this.
    c1, c2 : float
        Constants of the Wolfe conditions.
    """

    method = "Newton-CG"
    products = True

    xtol: float = 1e-5
    c1: float = 1e-4
    c2: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_wolfe(self.c1, self.c2)


@dataclass(frozen=True)
class TrustRegion(SciPy):
    """What SciPy's trust-region methods have in common.

    Parameters
    ----------
    initial_trust_radius, max_trust_radius : float
        First and largest length of a step.
    eta : float
        Share of the predicted decrease that a step must reach, in [0, 0.25).
    gtol : float
        Converged when the gradient's norm is below this.
    """

    products = True

    initial_trust_radius: float = 1.0
    max_trust_radius: float = 1000.0
    eta: float = 0.15
    gtol: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("eta", self.eta, below=0.25, zero=True)
        require_positive("max_trust_radius", self.max_trust_radius)
        require_positive("initial_trust_radius", self.initial_trust_radius, below=self.max_trust_radius)


@register_solver("scipy:trust-ncg")
@dataclass(frozen=True)
class TrustNCG(TrustRegion):
    """SciPy's trust-ncg: Newton in a trust region, steps by truncated conjugate gradients (Steihaug)."""

    method = "trust-ncg"


@register_solver("scipy:trust-krylov")
@dataclass(frozen=True)
class TrustKrylov(TrustRegion):
    """SciPy's trust-krylov: Newton in a trust region, steps by the Lanczos method (GLTR)."""

    method = "trust-krylov"


def _check_wolfe(c1: float, c2: float) -> None:
    if not 0 < c1 < c2 < 1:
        raise ArgumentError("c1, c2", (c1, c2), "0 < c1 < c2 < 1")
