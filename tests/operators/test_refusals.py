"""Every bad input is refused with its name, what was given and what is accepted."""

import re

import numpy as np
import pytest
import torch

from flowsolve.errors import ArgumentError
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
    Scaled,
    Scaling,
    SeparableBlur,
    Sum,
    VaryingBlur,
    block_diag,
    stack,
)
from flowsolve.operators.boundaries import pad
from flowsolve.operators.kernels import gaussian, motion, uniform

D = (3, 8, 9)
BLUR = Blur.uniform(3, D)
ZERO = Blur.motion(3, 30, D, "zero")
PER_IMAGE = Mask.random(0.5, dim_shape=D, n_images=2)
X = np.ones((2, *D))
GRID = {"grid": {"rows": 1, "columns": 1}}
NAN = np.array([[1.0, np.nan]])

CASES = [
    # What operators are applied to
    (lambda: BLUR(np.ones((2, 3, 8, 8))), "x: got shape (2, 3, 8, 8); accepted: shape (..., 3, 8, 9)"),
    (
        lambda: BLUR(np.ones((8, 9))),
        "x: got shape (8, 9); accepted: shape (..., 3, 8, 9) that is (..., C, H, W)",
    ),
    (lambda: Downsample(2, D).adjoint(X), "y: got shape (2, 3, 8, 9); accepted: shape (..., 3, 4, 5)"),
    (lambda: BLUR(np.ones(D, dtype=int)), "x: got dtype int64; accepted: dtype float32 or float64"),
    (lambda: BLUR(torch.ones(D).half()), "x: got dtype float16; accepted: dtype float32 or float64"),
    (lambda: BLUR(np.ones(D, dtype=complex)), "x: got dtype complex128"),
    (lambda: BLUR([[1.0]]), "x: got builtins.list; accepted: a NumPy, CuPy, torch or array-API array"),
    (lambda: BLUR.adjoint("y"), "y: got builtins.str"),
    (lambda: PER_IMAGE(np.ones(D)), "x: got shape (3, 8, 9); accepted: shape (..., 2, 3, 8, 9)"),
    (lambda: PER_IMAGE(np.ones((3, *D))), "x: got shape (3, 3, 8, 9); accepted: shape (..., 2, 3, 8, 9)"),
    # Pairs, steps and weights
    (
        lambda: BLUR.prox_l2(X, X.astype("float32"), 1.0),
        "y: got dtype float32; accepted: the dtype of the image",
    ),
    (
        lambda: BLUR.prox_l2(X, torch.ones(2, *D), 1.0),
        "y: got numpy.ndarray, torch.Tensor; accepted: arrays of one",
    ),
    (
        lambda: BLUR.prox_l2(X, np.ones((3, *D)), 1.0),
        "y: got batch shape (3,); accepted: one that broadcasts",
    ),
    (lambda: BLUR.prox_l2(X[..., 1:], X, 1.0), "v: got shape (2, 3, 8, 8)"),
    (lambda: BLUR.prox_l2(X, X, 0), "tau: got 0; accepted: a number > 0"),
    (lambda: BLUR.prox_l2(X, X, float("nan")), "tau: got nan; accepted: a number > 0"),
    (lambda: BLUR.prox_l2(X, X, "1"), "tau: got str; accepted: a number > 0, or an array of one per image"),
    (lambda: BLUR.prox_l2(X, X, np.ones(3)), "tau: got shape (3,); accepted: shape (2,), one per image"),
    (lambda: BLUR.prox_l2(X, X, np.array([1.0, -1])), "tau: got a value that is not finite and > 0"),
    (lambda: BLUR.tikhonov(X, float("inf")), "alpha: got inf; accepted: a finite number > 0"),
    (lambda: BLUR.tikhonov(X, -1.0), "alpha: got -1.0"),
    (lambda: BLUR.pinv(X, rcond=2), "rcond: got 2; accepted: a number in [0, 1)"),
    (lambda: ZERO.pinv(X, max_iter=0), "max_iter: got 0; accepted: an integer >= 1"),
    (lambda: ZERO.prox_l2(X, X, 1.0, tol=-1), "tol: got -1; accepted: a finite number >= 0"),
    (lambda: PER_IMAGE.select([0, 2]), "indices: got [0, 2]; accepted: one or more integers from 0 to 1"),
    (lambda: PER_IMAGE.select([]), "indices: got []"),
    (lambda: PER_IMAGE.select([True, False]), "indices: got [True, False]"),
    (lambda: PER_IMAGE.select([0.5]), "indices: got [0.5]"),
    # Shapes
    (lambda: Identity((3, 0)), "dim_shape: got (3, 0); accepted: a tuple of positive integers"),
    (lambda: Identity(5), "dim_shape: got 5"),
    (
        lambda: Blur.uniform(3, (8, 8)),
        "dim_shape: got (8, 8); accepted: a shape (C, H, W) of positive integers",
    ),
    (lambda: Downsample(2, (3, 8.0, 8)), "dim_shape: got (3, 8.0, 8)"),
    # Kernels and boundaries
    (lambda: Blur.uniform(9, D), "kernel: got size 9 x 9; accepted: at most the image's size, 8 x 9"),
    (lambda: Blur(NAN, D), "kernel: got 1 non-finite value(s); accepted: finite values only"),
    (lambda: Blur(np.zeros((3, 3)), D), "kernel: got a kernel of zeros"),
    (lambda: Blur(np.ones(3), D), "kernel: got shape (3,); accepted: shape (kh, kw), or (C, kh, kw)"),
    (lambda: Blur(np.ones((2, 3, 3)), D), "kernel: got 2 kernels; accepted: one, or one per channel (3)"),
    (lambda: Blur(np.ones((0, 3)), D), "kernel: got shape (0, 3); accepted: an array that is not empty"),
    (lambda: Blur("uniform", D), "kernel: got dtype <U7; accepted: an array of real numbers"),
    (lambda: Blur([[1], [1, 2]], D), "kernel: got dtype object"),
    (lambda: Blur({"box": {}}, D), "kernel: got {'box': {}}; accepted: an array, or {name: options}"),
    (lambda: Blur({"uniform": {"width": 3}}, D), "the options of the uniform kernel"),
    (
        lambda: Blur(np.ones((3, 3)), D, "wrap"),
        "boundary: got 'wrap'; accepted: circular, zero, reflect, replicate",
    ),
    (lambda: uniform(0), "size: got 0; accepted: an integer >= 1, or two: (rows, columns)"),
    (lambda: uniform((1, 2, 3)), "size: got (1, 2, 3)"),
    (lambda: gaussian(0), "std: got 0; accepted: a finite number > 0"),
    (lambda: gaussian((1.0,)), "std: got (1.0,)"),
    (lambda: motion(-1), "length: got -1"),
    (lambda: motion(3, float("inf")), "angle: got inf; accepted: a finite number of degrees"),
    (lambda: pad(np.ones((3, 3)), (3, 0), (0, 0), "reflect"), "pad: got (3, 0); accepted: from 0 to 2"),
    # Downsampling
    (lambda: Downsample(0, D), "factor: got 0; accepted: an integer >= 1"),
    (lambda: Downsample(2.5, D), "factor: got 2.5"),
    (lambda: Downsample((9, 2), D), "factor: got (9, 2); accepted: at most the image's size, 8 x 9"),
    (lambda: Downsample(2, D, offset=1), "offset: got 1; accepted: 0 for means over blocks"),
    (
        lambda: Downsample(2, D, np.ones((2, 2)), offset=2),
        "offset: got 2; accepted: below the factor, (2, 2)",
    ),
    (lambda: Downsample(2, D, boundary="mirror"), "boundary: got 'mirror'"),
    # Masks
    (
        lambda: Mask(np.zeros((8, 9)), D),
        "mask: got an empty mask; accepted: a mask that keeps at least one pixel",
    ),
    (lambda: Mask(np.eye(2).reshape(2, 1, 1, 2)[:, :, :, :1]), "mask: got an empty mask (image 1)"),
    (
        lambda: Mask(np.ones((8, 8)), D),
        "mask: got shape (8, 8); accepted: a shape that broadcasts to (3, 8, 9)",
    ),
    (lambda: Mask(np.ones((1, 1, 1, 1, 1)), D), "mask: got shape (1, 1, 1, 1, 1)"),
    (
        lambda: Mask(np.ones((8, 9))),
        "dim_shape: got None; accepted: a shape (C, H, W), as the mask has 2 axes",
    ),
    (lambda: Mask(NAN, (1, 1, 2)), "mask: got 1 non-finite value(s)"),
    (lambda: Mask({"disc": {}}, D), "mask: got {'disc': {}}; accepted: an array, or {name: options}"),
    (
        lambda: Mask({"box": {"size": 2}}),
        "dim_shape: got None; accepted: a shape (C, H, W), which a box mask needs",
    ),
    (lambda: Mask({"box": {"side": 2}}, D), "the options of a box mask"),
    (lambda: Mask.random(1.0, dim_shape=D), "missing: got 1.0; accepted: a fraction in [0, 1)"),
    (lambda: Mask.random(0.999, dim_shape=D), "missing: got 0.999; accepted: a fraction that leaves a pixel"),
    (lambda: Mask.random(dim_shape=D, seed=-1), "seed: got -1; accepted: an integer >= 0"),
    (lambda: Mask.random(dim_shape=D, n_images=0), "n_images: got 0; accepted: an integer >= 1, or None"),
    (lambda: Mask.box(9, dim_shape=D), "size: got 9; accepted: at most the image's size, 8 x 9"),
    (lambda: Mask.box((8, 9), dim_shape=D), "mask: got an empty mask"),
    # Gains, colours, differences
    (lambda: Scaling(-1.0, D), "gain: got 1 value(s) <= 0; accepted: numbers > 0"),
    (lambda: Scaling(np.zeros((1, 2, 2))), "gain: got 4 value(s) <= 0"),
    (lambda: Scaling(NAN, (1, 1, 2)), "gain: got 1 non-finite value(s)"),
    (lambda: Scaling(np.ones((8, 8)), D), "gain: got shape (8, 8); accepted: a shape that broadcasts to"),
    (lambda: Grey(D, [1.0, 2.0]), "weights: got shape (2,); accepted: 3 numbers, one per channel, not all 0"),
    (lambda: Grey(D, [0.0, 0.0, 0.0]), "weights: got zeros"),
    (lambda: Mosaic((1, 4, 4)), "dim_shape: got (1, 4, 4); accepted: three channels: (3, H, W)"),
    (lambda: Gradient(D, "zero"), "boundary: got 'zero'; accepted: replicate or circular"),
    # Separable and varying blur
    (lambda: SeparableBlur(np.ones(9), [1], D), "rows: got 9 numbers; accepted: at most the image's side, 8"),
    (
        lambda: SeparableBlur([1], np.ones((2, 2)), D),
        "columns: got shape (2, 2); accepted: one row of numbers",
    ),
    (lambda: SeparableBlur([0.0], [1], D), "rows: got a kernel of zeros"),
    (lambda: SeparableBlur([1, 2], [1], D, "wrap"), "boundary: got 'wrap'"),
    (lambda: VaryingBlur([], D, GRID), "kernels: got []; accepted: a list of one or more kernels"),
    (
        lambda: VaryingBlur([np.ones((9, 1))], D, GRID),
        "kernel: got size 9 x 1; accepted: at most the image's",
    ),
    (lambda: VaryingBlur([NAN], D, GRID), "kernels[0]: got 1 non-finite value(s)"),
    (lambda: VaryingBlur([np.ones((3, 2, 2))], D, GRID), "kernels[0]: got shape (3, 2, 2); accepted: shape"),
    (lambda: VaryingBlur([np.eye(2)] * 2, D, GRID), "weights: got a grid of 1 x 1; accepted: 2 places"),
    (lambda: VaryingBlur([np.eye(2)], D, {"grid": 3}), "weights: got {'grid': 3}; accepted: an array (P, H"),
    (
        lambda: VaryingBlur([np.eye(2)], D, np.ones((1, 8, 8))),
        "weights: got shape (1, 8, 8); accepted: shape",
    ),
    # Resizing
    (lambda: Resize(-2, D), "factor: got -2; accepted: a finite number > 0, or two: (rows, columns)"),
    (lambda: Resize((2, 0), D), "factor: got (2, 0)"),
    (lambda: Resize(None, D), "factor: got None; accepted: either a factor, or None and a size"),
    (lambda: Resize(2, D, size=4), "factor: got 2; accepted: either a factor, or None and a size"),
    (lambda: Resize(None, D, size=(4, 0)), "size: got (4, 0); accepted: an integer >= 1, or two"),
    (lambda: Resize(2, D, "cubic"), "method: got 'cubic'; accepted: bilinear, bicubic, lanczos"),
    # Projections and transforms
    (lambda: RandomProjection(0, D), "m: got 0; accepted: an integer >= 1"),
    (lambda: RandomProjection(5, D, seed=-1), "seed: got -1; accepted: an integer >= 0 and below 2**64"),
    (lambda: RandomProjection(5, D, variance=0), "variance: got 0; accepted: a finite number > 0"),
    (lambda: Radon(0, D), "angles: got 0; accepted: an integer >= 1, or directions in degrees"),
    (lambda: Radon(NAN[0], D), "angles: got 1 non-finite value(s)"),
    (lambda: Radon(np.ones((2, 2)), D), "angles: got shape (2, 2); accepted: an integer >= 1, or one row"),
    (lambda: Radon(3, D, detectors=0), "detectors: got 0; accepted: an integer >= 1"),
    (lambda: Fourier(np.ones((8, 8)), D), "mask: got shape (8, 8); accepted: a shape that broadcasts to"),
    (lambda: Fourier(np.full((8, 9), np.inf), D), "mask: got 72 non-finite value(s)"),
    (lambda: Fourier(np.zeros((8, 9)), D), "mask: got an empty mask; accepted: a mask that keeps at least"),
    (lambda: Fourier({"spiral": {}}, D), "mask: got {'spiral': {}}; accepted: an array, or {name: options}"),
    (lambda: Fourier({"lines": {"rate": 2}}, D), "the options of a lines mask"),
    (
        lambda: Fourier({"lines": {"acceleration": 0.5}}, D),
        "acceleration: got 0.5; accepted: a finite number",
    ),
    (lambda: Fourier({"lines": {"centre": 2}}, D), "centre: got 2; accepted: a fraction in [0, 1]"),
    (lambda: Fourier({"points": {"seed": -1}}, D), "seed: got -1"),
    (lambda: Fourier({"points": {"n_images": 0}}, D), "n_images: got 0"),
    # Arithmetic
    (
        lambda: BLUR @ Downsample(2, D),
        "a right operator with measurements of shape (3, 4, 5); accepted: one of shape",
    ),
    (
        lambda: BLUR + Downsample(2, D),
        "operators: got (3, 8, 9) -> (3, 4, 5); accepted: (3, 8, 9) -> (3, 8, 9)",
    ),
    (lambda: stack([BLUR, Identity((3, 4, 4))]), "operators: got one on images of shape (3, 4, 4)"),
    (lambda: stack([]), "operators: got []; accepted: a list of one or more linear operators"),
    (lambda: block_diag([1]), "operators: got [1]"),
    (lambda: Sum(BLUR), "operators: got Blur("),
    (lambda: Scaled(BLUR, float("nan")), "scalar: got nan; accepted: a finite number"),
    (
        lambda: PER_IMAGE + Mask.random(dim_shape=D, n_images=3),
        "operators: got parameters for [2, 3] images; accepted: operators for the same number of images",
    ),
]


@pytest.mark.parametrize(("call", "message"), CASES, ids=[m[:40] for _, m in CASES])
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        call()


def test_a_mapped_batch_axis_cannot_hide_the_images():
    with pytest.raises(ArgumentError, match=r"accepted: shape \(\.\.\., 2, 3, 8, 9\)"):
        torch.func.vmap(PER_IMAGE.apply)(torch.ones(2, *D))
