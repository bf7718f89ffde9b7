"""Terms g(x) with a proximal operator, to add to a flow objective: a box, total variation, Pyxu's own."""

from .base import Functional, describe, from_config, register_functional, registry
from .box import Box
from .pyxu import PyxuFunctional
from .total_variation import TotalVariation

__all__ = [
    "Box",
    "Functional",
    "PyxuFunctional",
    "TotalVariation",
    "describe",
    "from_config",
    "register_functional",
    "registry",
]
