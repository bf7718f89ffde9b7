"""Normalizing-flow priors: the network, its frozen form, files of weights, named priors.

Most users need :func:`load_prior` and the :class:`GlowPrior` that it returns.
"""

from .checkpoints import PriorCard, read_checkpoint, save_prior
from .config import GlowConfig
from .derivatives import Energy, jvp, vjp
from .diagnosis import Health, health
from .glow import Glow
from .inference import FrozenGlow
from .linearize import Linearized
from .prior import FlowPrior, GlowPrior
from .zoo import list_priors, load_prior, register_prior

__all__ = [
    "Energy",
    "FlowPrior",
    "FrozenGlow",
    "Glow",
    "GlowConfig",
    "GlowPrior",
    "Health",
    "Linearized",
    "PriorCard",
    "health",
    "jvp",
    "list_priors",
    "load_prior",
    "read_checkpoint",
    "register_prior",
    "save_prior",
    "vjp",
]
