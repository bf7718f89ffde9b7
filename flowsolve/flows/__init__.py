"""Normalizing-flow priors: the network, its frozen form, files of weights, named priors.

Most users need :func:`load_prior` and the :class:`FlowPrior` that it returns.
"""

from .checkpoints import PriorCard, read_checkpoint, save_prior
from .config import GlowConfig
from .glow import Glow
from .inference import FrozenGlow
from .prior import FlowPrior
from .zoo import list_priors, load_prior, register_prior

__all__ = [
    "FlowPrior",
    "FrozenGlow",
    "Glow",
    "GlowConfig",
    "PriorCard",
    "list_priors",
    "load_prior",
    "read_checkpoint",
    "register_prior",
    "save_prior",
]
