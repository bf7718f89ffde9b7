"""Classical restorations, from the operator and the measurements alone: what a flow has to beat.

Each takes an `InverseProblem` and returns images (N, C, H, W) on the device and in the dtype of its
measurements. None looks at the truth but those whose name ends in ``-best``, which say so.
"""

from .base import ORACLES, Baseline, constant_fit, registry
from .harmonic import harmonic_fill
from .non_local_means import non_local_means
from .smooth import best_smooth, smooth, smooth_discrepancy
from .suited import classical_start, of_operator, start_of_operator, suited_baselines
from .tikhonov import best_tikhonov, discrepancy_weight, tikhonov, tikhonov_discrepancy
from .total_variation import total_variation
from .upsampling import back_projection, bicubic

__all__ = [
    "ORACLES",
    "Baseline",
    "back_projection",
    "best_smooth",
    "best_tikhonov",
    "bicubic",
    "classical_start",
    "constant_fit",
    "discrepancy_weight",
    "harmonic_fill",
    "non_local_means",
    "of_operator",
    "registry",
    "smooth",
    "smooth_discrepancy",
    "start_of_operator",
    "suited_baselines",
    "tikhonov",
    "tikhonov_discrepancy",
    "total_variation",
]
