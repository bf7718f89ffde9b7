"""Non-local means, for denoising."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_nl_means

from ..errors import UnsupportedError
from ..operators import Identity
from ..problem import InverseProblem
from .base import registry


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
    options = {"patch_size": 5, "patch_distance": 6, "h": 0.6 * problem.sigma, "sigma": problem.sigma}
    if problem.sigma == 0:
        return problem.y.clone()
    cleaned = [denoise_nl_means(image, channel_axis=0, fast_mode=True, **options) for image in y]
    return torch.as_tensor(np.stack(cleaned)).to(problem.y)
