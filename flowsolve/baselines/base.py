"""What a baseline is, and where baselines are looked up by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..problem import InverseProblem
from ..registry import Registry

Baseline = Callable[[InverseProblem], torch.Tensor]

registry: Registry[Baseline] = Registry("baseline", "flowsolve.baselines")

#: Colours count as not measured where the operator leaves so many roundings of them, beside what it leaves
#: of noise.
UNSEEN = 100

#: Baselines that look at the truth.
ORACLES = ("tikhonov-best", "tikhonov-gradient-best")


def constant_fit(problem: InverseProblem) -> torch.Tensor:
    """Return for each image the constant colour c that minimises ‖Ac − y‖², as images (N, C, H, W)."""
    operator, y = problem.operator, problem.y
    shape, n = operator.dim_shape, len(problem)
    units = torch.eye(shape[0], dtype=y.dtype, device=y.device)
    colours = [units[c].reshape(-1, 1, 1).expand(n, *shape).contiguous() for c in range(shape[0])]
    columns = torch.stack([operator.apply(colour).flatten(1) for colour in colours], 2).double()
    # Through the normal equations' pseudo-inverse: a colour that is not measured at all, but for rounding,
    # stays 0.
    noise = np.random.default_rng(0).standard_normal((n, *shape))
    other = operator.apply(torch.as_tensor(noise).to(y)).flatten(1).double().square().sum(1)
    unseen = (UNSEEN * torch.finfo(y.dtype).eps) ** 2 * other
    normal = torch.linalg.pinv(columns.mT @ columns, hermitian=True, atol=unseen)
    fitted = (normal @ (columns.mT @ y.flatten(1).double()[..., None]))[..., 0]
    return fitted.to(y.dtype).reshape(n, shape[0], 1, 1).expand(n, *shape).contiguous()
