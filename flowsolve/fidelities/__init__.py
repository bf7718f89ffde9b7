"""Data fidelities: how far A x is from the measurement, for each kind of noise."""

from .base import Fidelity, from_config, register_fidelity, registry
from .held_out import HeldOutLeastSquares
from .huber import Huber
from .kullback_leibler import KullbackLeibler
from .least_squares import LeastSquares, WeightedLeastSquares

__all__ = [
    "Fidelity",
    "HeldOutLeastSquares",
    "Huber",
    "KullbackLeibler",
    "LeastSquares",
    "WeightedLeastSquares",
    "from_config",
    "register_fidelity",
    "registry",
]
