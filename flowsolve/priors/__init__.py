"""Priors of any kind, the terms that objectives make of them, and the kit that checks one of your own.

`FlowPrior` is what a normalizing flow has to be; `GlowPrior`, which `flowsolve.load_prior` returns, is one.
`EnergyPrior` and `DenoiserPrior` take networks and functions as they are, `NormflowsPrior` flows of
normflows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import FlowPrior, Prior
from .card import PriorCard
from .denoiser import DenoiserPrior
from .energy import EnergyPrior
from .latent_terms import NegativeLogLikelihood, SquaredNorm, Typical
from .normflows import NormflowsPrior
from .numpy_denoiser import on_numpy
from .terms import ImageTerm, LatentTerm, PriorTerm, register_prior_term

# What needs the flows of the package, or objectives, which import this package themselves.
_LATER = {
    "GlowPrior": "flows.prior",
    "load_prior": "flows.zoo",
    "list_priors": "flows.zoo",
    "register_prior": "flows.zoo",
    "check_prior": "priors.conformance",
    "assert_prior_conforms": "priors.conformance",
}

if TYPE_CHECKING:
    from ..flows.prior import GlowPrior
    from ..flows.zoo import list_priors, load_prior, register_prior
    from .conformance import assert_prior_conforms, check_prior

__all__ = [
    "DenoiserPrior",
    "EnergyPrior",
    "FlowPrior",
    "GlowPrior",
    "ImageTerm",
    "LatentTerm",
    "NegativeLogLikelihood",
    "NormflowsPrior",
    "Prior",
    "PriorCard",
    "PriorTerm",
    "SquaredNorm",
    "Typical",
    "assert_prior_conforms",
    "check_prior",
    "list_priors",
    "load_prior",
    "on_numpy",
    "register_prior",
    "register_prior_term",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"..{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
