"""Non-local means, for denoising."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_nl_means

from ..errors import UnsupportedError
from ..operators import Identity
from ..problem import InverseProblem
from .base import registry

PATCH, DISTANCE = 5, 6
"""Side of the patches that are compared, and how far apart they may be, in pixels."""


@registry.register("non-local-means")
def non_local_means(problem: InverseProblem) -> torch.Tensor:
    """Non-local means of scikit-image, its strength from the noise level (denoising only).

    Raises
    ------
    UnsupportedError
        If the operator is not the identity.
    """
    if not isinstance(problem.operator, Identity):
        kind = type(problem.operator).__name__
        raise UnsupportedError(f"non-local-means: works for Identity, not for {kind}")
    y = problem.y.detach().cpu().numpy()
    options = {"patch_size": PATCH, "patch_distance": DISTANCE, "h": 0.6 * problem.sigma}
    if problem.sigma == 0:
        return problem.y.clone()
    # Of one channel along the first axis scikit-image returns the transposed image: it gets none.
    single = y.shape[1] == 1
    # scikit-image takes an image of one column for a signal: edges are repeated up to a patch.
    height, width = y.shape[2:]
    tall, wide = max(0, PATCH - height), max(0, PATCH - width)
    y = np.pad(y, ((0, 0), (0, 0), (0, tall), (0, wide)), mode="edge")
    options |= {"fast_mode": True, "sigma": problem.sigma, "channel_axis": None if single else 0}
    cleaned = [denoise_nl_means(image[0] if single else image, **options) for image in y]
    stacked = np.stack(cleaned).reshape(y.shape)[..., :height, :width]
    return torch.as_tensor(stacked).to(problem.y).contiguous()
