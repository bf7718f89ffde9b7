"""Solvers: each a small pair of functions, ``init`` and ``step``; the driver owns the loop."""

from .base import Solver, State, make_solver, register_solver, registry  # isort: skip
from . import external
from .adam import Adam
from .continuation import Continuation
from .descent import DescentSolver, DescentState
from .forward_backward import ForwardBackward
from .gauss_newton import GaussNewton
from .gradient_descent import GradientDescent
from .hybrid import Hybrid
from .lbfgs import LBFGS
from .momentum import Momentum
from .nonlinear_cg import NonlinearCG
from .splitting import ADMM, HalfQuadratic

__all__ = [
    "ADMM",
    "LBFGS",
    "Adam",
    "Continuation",
    "DescentSolver",
    "DescentState",
    "ForwardBackward",
    "GaussNewton",
    "GradientDescent",
    "HalfQuadratic",
    "Hybrid",
    "Momentum",
    "NonlinearCG",
    "Solver",
    "State",
    "external",
    "make_solver",
    "register_solver",
    "registry",
]
