"""Solvers of pytorch-minimize (the package ``torchmin``), where it is installed.

The library differentiates the objective by torch: it is given a function whose gradient, and whose gradient's
gradient, come from the driver. It computes in float64 on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ...numbers import is_number
from ...objectives.base import Objective
from ..base import register_solver, require_choice, require_positive
from .bridge import External
from .rendezvous import Oracle
from .scipy import UNLIMITED


@dataclass(frozen=True)
class PytorchMinimize(External):
    """A method of ``torchmin.minimize``; its options are passed through."""

    method: ClassVar[str]

    def __post_init__(self) -> None:
        for name, value in self.config().items():
            if is_number(value):
                require_positive(name, value, zero=True)
        if "line_search" in self.config():
            require_choice("line_search", self.config()["line_search"], ("strong-wolfe", "none"))

    def minimise(self, oracle: Oracle, objective: Objective, trial: float) -> bool:
        """Run ``torchmin.minimize``."""
        from torchmin import minimize

        shape = oracle.start.shape

        def function(v: torch.Tensor) -> torch.Tensor:
            return _Value.apply(v.reshape(shape), oracle)

        found = minimize(
            function,
            oracle.start.ravel(),
            method=self.method,
            max_iter=UNLIMITED,
            options=self.config(),
            callback=lambda v: oracle.iterate(v.detach().clone().reshape(shape)),
        )
        return bool(found.success)


class _Value(torch.autograd.Function):
    """F at a point, its gradient asked of the oracle."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, oracle: Oracle) -> torch.Tensor:
        ctx.oracle = oracle
        ctx.save_for_backward(v)
        # A copy: the library writes to it.
        return oracle.evaluate(v.detach().clone()).value[0].cpu().clone()

    @staticmethod
    def backward(ctx: Any, weight: torch.Tensor) -> tuple[torch.Tensor, None]:
        return weight * _Gradient.apply(ctx.saved_tensors[0], ctx.oracle), None


class _Gradient(torch.autograd.Function):
    """∇F at a point; its derivative along a vector is a product with the Hessian, which is symmetric."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, oracle: Oracle) -> torch.Tensor:
        ctx.oracle = oracle
        ctx.save_for_backward(v)
        grad = oracle.evaluate(v.detach().clone()).grad
        assert grad is not None
        return grad[0].double().cpu().clone()

    @staticmethod
    def backward(ctx: Any, vector: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.oracle.product(ctx.saved_tensors[0].detach().clone(), vector.detach().clone()), None


@register_solver("torchmin:l-bfgs")
@dataclass(frozen=True)
class TorchminLBFGS(PytorchMinimize):
    """L-BFGS of pytorch-minimize.

    Parameters
    ----------
    lr : float
        First step of each search.
    history_size : int
        Number of pairs kept.
    line_search : {"strong-wolfe", "none"}
        Search.
    gtol, xtol, gtd_tol : float
        Tolerances of gradient, change, and directional derivative.
    """

    method = "l-bfgs"

    lr: float = 1.0
    history_size: int = 100
    line_search: str = "strong-wolfe"
    gtol: float = 1e-5
    xtol: float = 1e-8
    gtd_tol: float = 1e-10


@register_solver("torchmin:cg")
@dataclass(frozen=True)
class TorchminCG(PytorchMinimize):
    """Nonlinear conjugate gradients of pytorch-minimize.

    Parameters
    ----------
    gtol : float
        Tolerance of the gradient.
    """

    method = "cg"

    gtol: float = 1e-5


@register_solver("torchmin:newton-cg")
@dataclass(frozen=True)
class TorchminNewtonCG(PytorchMinimize):
    """Newton with conjugate gradients of pytorch-minimize.

    Parameters
    ----------
    lr : float
        First step of each search.
    line_search : {"strong-wolfe", "none"}
        Search.
    xtol : float
        Tolerance of the change.
    """

    method = "newton-cg"

    lr: float = 1.0
    line_search: str = "strong-wolfe"
    xtol: float = 1e-5


@register_solver("torchmin:trust-ncg")
@dataclass(frozen=True)
class TorchminTrustNCG(PytorchMinimize):
    """Trust-region Newton of pytorch-minimize, steps by truncated conjugate gradients.

    Parameters
    ----------
    initial_trust_radius, max_trust_radius : float
        First and largest length of a step.
    eta : float
        Share of the predicted decrease that a step must reach.
    gtol : float
        Tolerance of the gradient.
    """

    method = "trust-ncg"

    initial_trust_radius: float = 1.0
    max_trust_radius: float = 1000.0
    eta: float = 0.15
    gtol: float = 1e-4
