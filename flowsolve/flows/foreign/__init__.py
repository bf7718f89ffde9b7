"""Weights that other programs trained, turned into priors of this one.

>>> from flowsolve.flows import GlowPrior, save_prior
>>> from flowsolve.flows.foreign import import_prior
>>> imported = import_prior("model_200001.pt", "rosinality", terms="research only")  # doctest: +SKIP
>>> save_prior("prior.safetensors", imported.glow, imported.card)  # doctest: +SKIP

Each format is a class in a file of its own, registered by name. What a format holds is folded
into the tensors of :class:`~flowsolve.flows.glow.Glow` in float64, without approximation.
"""

from .base import ForeignFormat, formats, register_format
from .chaiyujin import Chaiyujin
from .glowip import GlowIP
from .importing import DEFAULT_SIZE, ImportedPrior, import_prior
from .rosinality import Rosinality

__all__ = [
    "DEFAULT_SIZE",
    "Chaiyujin",
    "ForeignFormat",
    "GlowIP",
    "ImportedPrior",
    "Rosinality",
    "formats",
    "import_prior",
    "register_format",
]
