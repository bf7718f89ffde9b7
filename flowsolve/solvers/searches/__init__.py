"""Searches: how far a solver goes along the direction that its descent gives.

A search and a descent are separate things that combine. Each search is one file with one registration; each
descent is a solver of its own that takes any search whose `Search.needs` it offers.
"""

from .base import (  # isort: skip
    Proposal,
    Search,
    SearchResult,
    Trials,
    initial_step,
    make_search,
    register_search,
    registry,
)
from .armijo import Armijo, armijo
from .barzilai_borwein import BarzilaiBorwein
from .fixed import Fixed
from .levenberg_marquardt import LevenbergMarquardt
from .strong_wolfe import StrongWolfe, strong_wolfe
from .trust_region import TrustRegion

__all__ = [
    "Armijo",
    "BarzilaiBorwein",
    "Fixed",
    "LevenbergMarquardt",
    "Proposal",
    "Search",
    "SearchResult",
    "StrongWolfe",
    "Trials",
    "TrustRegion",
    "armijo",
    "initial_step",
    "make_search",
    "register_search",
    "registry",
    "strong_wolfe",
]
