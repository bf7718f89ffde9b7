"""Small operators of every kind there is, which the conformance checks run over.

Images have sides that differ, odd ones among them, and kernels and weights are random and asymmetric: what is
symmetric hides mistakes. All are small enough for dense algebra.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError
from .algebra import block_diag, stack
from .base import LinearOperator
from .blur import Blur
from .boundaries import BOUNDARIES
from .downsample import Downsample
from .fourier import Fourier
from .gradient import Gradient
from .grey import Grey
from .identity import Identity
from .interop import from_functions
from .mask import Mask
from .mosaic import Mosaic
from .radon import Radon
from .random_projection import RandomProjection
from .registration import registry
from .resize import Resize
from .scaling import Scaling
from .separable_blur import SeparableBlur
from .valid_blur import ValidBlur
from .varying_blur import VaryingBlur

SHAPE = (2, 7, 6)


def examples() -> dict[str, LinearOperator]:
    """Return small operators by name: each registered kind of this package, and what is made of others."""
    rng = np.random.default_rng(7)
    kernel, small = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 2))
    found = _pixelwise(rng) | _coarser() | _measuring(rng) | _blurs(rng, kernel)
    for boundary in BOUNDARIES:
        found[f"blur-{boundary}"] = Blur(kernel, SHAPE, boundary)
        found[f"blur-uniform-{boundary}"] = Blur.uniform(3, SHAPE, boundary)
        lines = [0.2, 1.0, -0.3], small.ravel()[:4]
        found[f"separable-blur-{boundary}"] = SeparableBlur(*lines, SHAPE, boundary)
        found[f"downsample-{boundary}"] = Downsample((2, 3), (2, 8, 6), small, boundary, offset=(1, 2))
        found[f"downsample-separable-{boundary}"] = Downsample(
            (3, 2), SHAPE, np.outer([1.0, 2.0, 1.5], [0.5, 1.0, 0.25]), boundary, offset=(2, 1)
        )
        found[f"downsample-uneven-{boundary}"] = Downsample(2, SHAPE, small, boundary, offset=(1, 0))
    return found | _composites()


def others() -> dict[str, LinearOperator | str]:
    """Return an operator of each kind that other packages registered, or why there is none.

    It is made with ``dim_shape`` alone, as a name says no more.
    """
    found: dict[str, LinearOperator | str] = {}
    for name in registry:
        kind = registry.get(name)
        if getattr(kind, "__module__", "").startswith(f"{__package__}."):
            continue
        try:
            made: Any = kind(dim_shape=SHAPE)
        except (TypeError, ArgumentError) as error:
            made = f"needs options ({error})"
        if not isinstance(made, LinearOperator | str):
            made = f"makes a {type(made).__name__}"
        found[name] = made
    return found


def _pixelwise(rng: np.random.Generator) -> dict[str, LinearOperator]:
    return {
        "identity": Identity(SHAPE),
        "mask-real": Mask(rng.standard_normal(SHAPE)),
        "mask-plane": Mask(rng.random((7, 6)) > 0.4, SHAPE),
        "mask-per-image": Mask.random(0.6, dim_shape=SHAPE, n_images=3),
        "mask-box": Mask.box(3, dim_shape=SHAPE),
        "scaling": Scaling(rng.random(SHAPE) + 0.5),
        "scaling-per-image": Scaling(rng.random((3, 1, 1, 1)) + 0.5, SHAPE),
        "grey": Grey(SHAPE, [0.3, -1.2]),
        "mosaic": Mosaic((3, 7, 5)),
        "gradient": Gradient(SHAPE),
        "gradient-circular": Gradient(SHAPE, "circular"),
    }


def _coarser() -> dict[str, LinearOperator]:
    return {
        "mean": Downsample(2, (2, 8, 6)),
        "mean-uneven": Downsample((2, 4), SHAPE),
        "mean-all": Downsample((7, 6), SHAPE),
        "resize-bicubic": Resize(2, (2, 8, 6)),
        "resize-lanczos": Resize((2.5, 1.3), SHAPE, "lanczos"),
        "resize-larger": Resize(None, (1, 4, 5), size=(9, 6)),
    }


def _measuring(rng: np.random.Generator) -> dict[str, LinearOperator]:
    plane = rng.standard_normal((7, 6)) * (rng.random((7, 6)) > 0.3)
    return {
        "fourier-real": Fourier(plane, SHAPE),
        "fourier-lines": Fourier({"lines": {"acceleration": 2, "n_images": 3}}, SHAPE),
        "random-projection": RandomProjection(20, SHAPE, seed=3),
        "random-projection-more": RandomProjection(50, (1, 5, 7), variance=2.0, keep=True),
        "radon": Radon([0.0, 30.0, 90.0, 117.5], (2, 6, 7)),
        "radon-circle": Radon(3, (1, 6, 6), detectors=6),
    }


def _blurs(rng: np.random.Generator, kernel: np.ndarray) -> dict[str, LinearOperator]:
    columns: Any = {"grid": {"rows": 1, "columns": 2}}
    left = rng.random(SHAPE[1:])
    kernels: list[Any] = [{"uniform": {"size": 3}}, {"motion": {"length": 3, "angle": 20}}]
    return {
        "valid-blur": ValidBlur(kernel, SHAPE),
        "valid-blur-uniform": ValidBlur({"uniform": {"size": [2, 3]}}, SHAPE),
        "varying-blur": VaryingBlur([kernel[0], {"gaussian": {"std": 0.7, "size": 3}}], SHAPE, columns),
        "varying-blur-positive": VaryingBlur(kernels, SHAPE, np.stack([left, 1 - left]), "zero"),
    }


def _composites() -> dict[str, LinearOperator]:
    masks = Mask.random(0.6, dim_shape=SHAPE, n_images=3)
    smooth, zero = Blur.gaussian(0.8, SHAPE, size=5), Blur.uniform((3, 2), SHAPE, "zero")
    return {
        "composition": masks @ zero,
        "sum": zero + smooth,
        "difference": zero - smooth,
        "scaled": -2.5 * smooth,
        "scaled-mask": 0.5 * masks,
        "stack": stack([zero, masks]),
        "block-diagonal": block_diag([smooth, Downsample(2, SHAPE)]),
        "adjoint": Downsample((2, 4), SHAPE).T,
        "adjoint-iterative": stack([zero, masks]).T,
        "gram": smooth.gram(),
        "cogram": Downsample(2, SHAPE).cogram(),
        "foreign": from_functions(smooth.apply, smooth.adjoint, SHAPE, SHAPE),
    }
