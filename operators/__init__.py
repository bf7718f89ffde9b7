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
from .fourier import Fourier
from .gradient import Gradient
from .grey import Grey
from .identity import Identity
from .iterative import ConvergenceWarning
from .mask import Mask
from .mosaic import Mosaic
from .radon import Radon
from .random_projection import RandomProjection
from .registration import register_operator, registry
from .resize import Resize
from .scaling import Scaling
from .separable_blur import SeparableBlur
from .valid_blur import ValidBlur
from .varying_blur import VaryingBlur
from .views import Adjoint, Gram

__all__ = [
    "Adjoint",
    "BlockDiagonal",
    "Blur",
    "Composition",
    "ConvergenceWarning",
    "Downsample",
    "Fourier",
    "Gradient",
    "Gram",
    "Grey",
    "Identity",
    "LinearOperator",
    "Mask",
    "Mosaic",
    "Radon",
    "RandomProjection",
    "Resize",
    "Scaled",
    "Scaling",
    "SeparableBlur",
    "Stack",
    "Sum",
    "ValidBlur",
    "VaryingBlur",
    "block_diag",
    "compose",
    "from_config",
    "register_operator",
    "registry",
    "scale",
    "stack",
]
