"""Operators and array libraries that the tests run over."""

import numpy as np
import pytest

from flowsolve.operators import (
    Blur,
    Downsample,
    Fourier,
    Gradient,
    Grey,
    Identity,
    Mask,
    Mosaic,
    Radon,
    RandomProjection,
    Resize,
    Scaling,
    SeparableBlur,
    VaryingBlur,
    block_diag,
    stack,
)
from flowsolve.operators.conformance import MAKERS, available_namespaces

SHAPE = (2, 7, 6)
RNG = np.random.default_rng(7)
KERNEL = RNG.standard_normal((2, 3, 4))
SMALL = RNG.standard_normal((3, 2))
MASKS = Mask.random(0.6, dim_shape=SHAPE, n_images=3)
SMOOTH = Blur.gaussian(0.8, SHAPE, size=5)
ZERO = Blur.uniform((3, 2), SHAPE, "zero")

OPERATORS = {
    "identity": Identity(SHAPE),
    "mask-real": Mask(RNG.standard_normal(SHAPE)),
    "mask-plane": Mask(RNG.random((7, 6)) > 0.4, SHAPE),
    "mask-per-image": MASKS,
    "mask-box": Mask.box(3, dim_shape=SHAPE),
    "mean": Downsample(2, (2, 8, 6)),
    "mean-uneven": Downsample((2, 4), SHAPE),
    "mean-all": Downsample((7, 6), SHAPE),
    "composition": MASKS @ ZERO,
    "sum": ZERO + SMOOTH,
    "difference": ZERO - SMOOTH,
    "scaled": -2.5 * SMOOTH,
    "scaled-mask": 0.5 * MASKS,
    "stack": stack([ZERO, MASKS]),
    "block-diagonal": block_diag([SMOOTH, Downsample(2, SHAPE)]),
    "adjoint": Downsample((2, 4), SHAPE).T,
    "adjoint-iterative": stack([ZERO, MASKS]).T,
    "gram": SMOOTH.gram(),
    "cogram": Downsample(2, SHAPE).cogram(),
}
OPERATORS |= {
    "scaling": Scaling(RNG.random(SHAPE) + 0.5),
    "scaling-per-image": Scaling(RNG.random((3, 1, 1, 1)) + 0.5, SHAPE),
    "grey": Grey(SHAPE, [0.3, -1.2]),
    "mosaic": Mosaic((3, 7, 5)),
    "gradient": Gradient(SHAPE),
    "gradient-circular": Gradient(SHAPE, "circular"),
    "fourier-real": Fourier(RNG.standard_normal((7, 6)) * (RNG.random((7, 6)) > 0.3), SHAPE),
    "fourier-lines": Fourier({"lines": {"acceleration": 2, "n_images": 3}}, SHAPE),
    "resize-bicubic": Resize(2, (2, 8, 6)),
    "resize-lanczos": Resize((2.5, 1.3), SHAPE, "lanczos"),
    "resize-larger": Resize(None, (1, 4, 5), size=(9, 6)),
    "random-projection": RandomProjection(20, SHAPE, seed=3),
    "random-projection-more": RandomProjection(50, (1, 5, 7), variance=2.0, keep=True),
    "radon": Radon([0.0, 30.0, 90.0, 117.5], (2, 6, 7)),
    "radon-circle": Radon(3, (1, 6, 6), detectors=6),
    "varying-blur": VaryingBlur(
        [KERNEL[0], {"gaussian": {"std": 0.7, "size": 3}}],
        SHAPE,
        {"grid": {"rows": 1, "columns": 2}},
    ),
    "varying-blur-positive": VaryingBlur(
        [{"uniform": {"size": 3}}, {"motion": {"length": 3, "angle": 20}}],
        SHAPE,
        np.stack([w := RNG.random(SHAPE[1:]), 1 - w]),
        "zero",
    ),
}
for boundary in ("circular", "zero", "reflect", "replicate"):
    OPERATORS[f"blur-{boundary}"] = Blur(KERNEL, SHAPE, boundary)
    OPERATORS[f"blur-uniform-{boundary}"] = Blur.uniform(3, SHAPE, boundary)
    OPERATORS[f"separable-blur-{boundary}"] = SeparableBlur(
        [0.2, 1.0, -0.3], SMALL.ravel()[:4], SHAPE, boundary
    )
    OPERATORS[f"downsample-{boundary}"] = Downsample((2, 3), (2, 8, 6), SMALL, boundary, offset=(1, 2))
    OPERATORS[f"downsample-uneven-{boundary}"] = Downsample(2, SHAPE, SMALL, boundary, offset=(1, 0))


def library(name):
    """A parameter for an array library, skipped (not failed) where it is not there."""
    marks = [pytest.mark.gpu] if name in ("cupy", "torch-cuda") else []
    if name not in available_namespaces():
        marks.append(pytest.mark.skip(reason=f"{name} is not available here"))
    return pytest.param(name, marks=marks)


def pytest_generate_tests(metafunc):
    if "where" in metafunc.fixturenames:
        metafunc.parametrize("where", [library(name) for name in MAKERS])
    if "operator_name" in metafunc.fixturenames:
        metafunc.parametrize("operator_name", list(OPERATORS))


@pytest.fixture
def operator(operator_name):
    return OPERATORS[operator_name]


@pytest.fixture
def rng():
    return np.random.default_rng(0)
