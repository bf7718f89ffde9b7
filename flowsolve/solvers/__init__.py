"""Solvers: each a small pair of functions, ``init`` and ``step``; the driver owns the loop."""

from .base import Solver, State, make_solver, register_solver, registry  # isort: skip
from .adam import Adam
from .forward_backward import ForwardBackward
from .gradient_descent import GradientDescent
from .lbfgs import LBFGS

__all__ = [
    "LBFGS",
    "Adam",
    "ForwardBackward",
    "GradientDescent",
    "Solver",
    "State",
    "make_solver",
    "register_solver",
    "registry",
]
