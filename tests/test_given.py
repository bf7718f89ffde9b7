"""What a user gives in Python: numbers and arrays of any library, sensible or not."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from examples import examples
from helpers import make_images, make_problem
from hypothesis import given
from hypothesis import strategies as st

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, FlowsolveError
from flowsolve.noise import Poisson
from flowsolve.problem import check_sigma

SHAPE = (3, 8, 8)
KINDS = (float, np.float64, np.float32, np.float16, np.asarray, torch.tensor, Fraction, Decimal, str, complex)
SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e-300, 1e300, 1e38)


@st.composite
def numbers(draw):
    """A number of Python, NumPy or torch, or what somebody takes for one."""
    kind = draw(st.sampled_from([*KINDS, int, np.int64, np.uint8, bool, np.bool_]))
    if kind in (int, np.int64):
        return kind(draw(st.integers(-(2**62), 2**62)))
    if kind is np.uint8:
        return kind(draw(st.integers(0, 255)))
    if kind in (bool, np.bool_):
        return kind(draw(st.booleans()))
    value = draw(st.one_of(st.sampled_from(SPECIAL), st.floats(-1, 2), st.floats()))
    with np.errstate(over="ignore"):
        return kind(0.5 if kind is Fraction and not math.isfinite(value) else value)


def as_float(value):
    """The value as a float, or NaN where it is none."""
    if isinstance(value, bool | np.bool_ | str | complex):
        return math.nan
    return float(value)


@examples(40)
@given(value=numbers())
def test_numbers_at_the_door(value):
    identity, x = ops.Identity(SHAPE), np.full((1, *SHAPE), 0.5)
    wanted = as_float(value)
    if math.isfinite(wanted) and wanted >= 0:
        assert check_sigma(value) == wanted and type(check_sigma(value)) is float
        problem = fs.InverseProblem(identity, x, sigma=value)
        assert type(problem.sigma) is float
        assert fs.degrade(identity, x, sigma=value).dtype == x.dtype
    else:
        for call in (
            lambda: fs.InverseProblem(identity, x, sigma=value),
            lambda: fs.degrade(identity, x, sigma=value),
        ):
            with pytest.raises(ArgumentError, match=r"sigma: got .*; accepted: a finite number >= 0"):
                call()


@examples(40)
@given(value=numbers())
def test_numbers_where_images_are_wanted(value):
    identity = ops.Identity(SHAPE)
    for call in (
        lambda: fs.psnr(value, value),
        lambda: fs.InverseProblem(identity, value, sigma=0),
        lambda: fs.degrade(identity, value, sigma=0),
        lambda: fs.ssim(np.zeros((1, *SHAPE)), value),
    ):
        with pytest.raises(FlowsolveError):
            call()


@examples(40)
@given(
    value=st.sampled_from([*SPECIAL, 255.0, 17.0, 1.5]),
    dtype=st.sampled_from([np.float32, np.float64, np.uint8]),
)
def test_images_of_one_value(value, dtype):
    with np.errstate(all="ignore"):
        x = np.full((1, *SHAPE), value).astype(dtype)
    bad = dtype == np.uint8 or not np.isfinite(x).all() or np.abs(x).max() > 16
    identity = ops.Identity(SHAPE)
    for call in (
        lambda: fs.degrade(identity, x, sigma=0),
        lambda: fs.InverseProblem(identity, x, sigma=0, x_true=x),
    ):
        if bad:
            with pytest.raises(ArgumentError):
                call()
        else:
            call()


@pytest.mark.parametrize("give", [np.asarray, torch.as_tensor])
def test_channels_last_images_are_named(give):
    operator, x = ops.Blur.uniform(3, (3, 8, 6)), give(np.zeros((2, 8, 6, 3)))
    hint = r"channels come before rows and columns: numpy.moveaxis\(images, -1, -3\)"
    for call in (
        lambda: fs.InverseProblem(operator, x, sigma=0),
        lambda: fs.degrade(operator, x, sigma=0),
        lambda: fs.InverseProblem(operator, np.zeros((2, 3, 8, 6)), sigma=0, x_true=x),
    ):
        with pytest.raises(ArgumentError, match=hint):
            call()
    assert np.moveaxis(np.zeros((2, 8, 6, 3)), -1, -3).shape == (2, 3, 8, 6)


@pytest.mark.parametrize(
    "operator", [ops.Identity(SHAPE), ops.Blur(20 * np.ones((3, 3)), SHAPE), ops.Downsample(2, SHAPE)]
)
def test_measurements_of_images_in_0_255_are_named(operator):
    x = make_images()
    fs.InverseProblem(operator, operator.apply(x), sigma=0)
    with pytest.raises(ArgumentError, match=r"y: got values from .*divide images in 0..255 by 255"):
        fs.InverseProblem(operator, operator.apply(255 * x), sigma=0)
    with pytest.raises(ArgumentError, match=r"x: got values from .*divide images in 0..255 by 255"):
        fs.degrade(operator, 255 * x, sigma=0)


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_of_no_images_there_is_nothing_to_solve_or_to_judge(make):
    none = make((0, *SHAPE))
    operator = ops.Identity(SHAPE)
    assert fs.degrade(operator, none, sigma=0.1).shape == (0, *SHAPE)
    assert fs.degrade(operator, none, noise=Poisson(10.0)).shape == (0, *SHAPE)
    for call in (lambda: fs.psnr(none, none), lambda: fs.ssim(none, none)):
        with pytest.raises(ArgumentError, match=r"x: got .*at least one image"):
            call()
    for arguments in ({"y": none}, {"y": make((1, *SHAPE)), "x_true": none}):
        with pytest.raises(ArgumentError, match=next(reversed(arguments))):
            fs.InverseProblem(operator, sigma=0, **arguments)


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_every_kind_of_start(formulation, tiny_prior, tmp_path):
    problem = make_problem()
    objective = formulation(problem, tiny_prior)
    first = fs.solve(objective, "lbfgs", "adjoint", max_iter=2, record=tmp_path / "run.h5")
    where = first.z if formulation is fs.Synthesis else first.x
    expected = fs.solve(objective, "lbfgs", where, max_iter=2).x
    for given_start in (first, first.best, where.numpy(), fs.open_run(tmp_path / "run.h5")):
        found = fs.solve(objective, "lbfgs", given_start, max_iter=2).x
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    images = fs.solve(objective, "lbfgs", first.x.numpy(), max_iter=1)
    assert images.x.shape == problem.x_true.shape


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (3, "init"),
        (None, "init: got NoneType"),
        (np.zeros((3, 8, 8, 3)), "init: got tensor of shape"),
        (np.full((3, *SHAPE), np.nan), "init: got NaN"),
        (np.zeros((3, *SHAPE), np.uint8), "divide images in 0..255 by 255"),
        (np.full((3, *SHAPE), 200.0), "divide images in 0..255 by 255"),
        (fs.initialise.Start(x=torch.zeros(2, *SHAPE)), "init: got given of shape"),
    ],
)
def test_bad_starts_are_named(start, message, tiny_prior):
    with pytest.raises(ArgumentError, match=message):
        fs.solve(fs.Analysis(make_problem(), tiny_prior), init=start)


def test_a_functional_of_pyxu_is_told_how_to_come_in(tiny_prior):
    from pyxu.operator import L1Norm

    with pytest.raises(ArgumentError, match=r"extra: got L1Norm; .*PyxuFunctional\(L1Norm"):
        fs.Analysis(make_problem(), tiny_prior, extra=L1Norm(dim_shape=SHAPE))


@pytest.mark.parametrize("largest", [255, 65535])
@pytest.mark.parametrize("dark", [1, 0.1])
@pytest.mark.parametrize(
    "operator",
    [
        ops.Identity(SHAPE),
        ops.Blur.uniform(3, SHAPE),
        ops.Downsample(2, SHAPE),
        ops.Mask.box(3, dim_shape=SHAPE),
    ],
    ids=str,
)
def test_measurements_in_other_ranges_are_refused_by_name(operator, largest, dark):
    y = operator.apply(make_images(2) * largest * dark)
    with pytest.raises(ArgumentError, match=r"y: got values from .* divide images in 0\.\.255 by 255"):
        fs.InverseProblem(operator, y, sigma=0.01)
    with pytest.raises(ArgumentError, match="65535"):
        fs.InverseProblem(operator, y.numpy().astype(np.uint16), sigma=0.01)


def test_large_measurements_that_belong_to_images_in_the_range_are_taken():
    shape = (1, 64, 64)
    for operator in (ops.Fourier(np.ones((64, 64)), shape), ops.Blur(np.full((3, 3), 100.0), shape)):
        y = operator.apply(torch.ones(1, *shape, dtype=torch.float64))
        assert float(y.abs().max()) > 60
        fs.InverseProblem(operator, y, sigma=0.01)
