"""Measurement operators: what turns an image into what was measured.

Names and meanings follow Pyxu (``apply``, ``adjoint``, ``gram``, ``lipschitz``, ``pinv``,
``dim_shape``, ``codim_shape``). Register one's own with :func:`register_operator`, or from
another package by the entry-point group ``flowsolve.operators``.
"""

from .algebra import BlockDiagonal, Composition, Scaled, Stack, Sum, block_diag, compose, scale, stack
from .base import LinearOperator
from .blur import Blur
from .config import from_config
from .downsample import Downsample
from .identity import Identity
from .iterative import ConvergenceWarning
from .mask import Mask
from .registration import register_operator, registry
from .views import Adjoint, Gram

__all__ = [
    "Adjoint",
    "BlockDiagonal",
    "Blur",
    "Composition",
    "ConvergenceWarning",
    "Downsample",
    "Gram",
    "Identity",
    "LinearOperator",
    "Mask",
    "Scaled",
    "Stack",
    "Sum",
    "block_diag",
    "compose",
    "from_config",
    "register_operator",
    "registry",
    "scale",
    "stack",
]
