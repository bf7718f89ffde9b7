"""Noise models: their moments, their seeds, and where they leave the measurement alone."""

import json

import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve import noise
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError

SHAPE = (1, 40, 50)
IDENTITY = ops.Identity(SHAPE)
MODELS = [
    noise.Gaussian(0.1),
    noise.Poisson(50.0),
    noise.PoissonGaussian(50.0, 0.05),
    noise.SaltAndPepper(0.2),
    noise.Quantisation(3),
]


@pytest.fixture(params=MODELS, ids=lambda m: type(m).__name__)
def model(request):
    return request.param


def clean_images(n=3):
    return np.random.default_rng(0).random((n, *SHAPE))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [0.0, 0.07])
def test_gaussian_is_what_degrade_adds(dtype, sigma):
    x = clean_images().astype(dtype)
    mask = ops.Mask.random(0.4, dim_shape=SHAPE)
    for operator in (ops.Blur.uniform(3, SHAPE), mask):
        expected = fs.degrade(operator, x, sigma=sigma, seed=5)
        np.testing.assert_array_equal(noise.Gaussian(sigma).corrupt(operator, operator(x), seed=5), expected)


def test_an_image_has_its_own_seed(model):
    x = clean_images(4)
    y = model.corrupt(IDENTITY, x, seed=3)
    np.testing.assert_array_equal(model.corrupt(IDENTITY, x[:2], seed=3), y[:2])
    np.testing.assert_array_equal(
        model.corrupt(IDENTITY, x.reshape(2, 2, *SHAPE), seed=3).reshape(y.shape), y
    )
    if not isinstance(model, noise.Quantisation):
        assert not np.array_equal(model.corrupt(IDENTITY, x, seed=4), y)
        same = np.repeat(x[:1], 2, axis=0)
        first, second = model.corrupt(IDENTITY, same, seed=3)
        assert not np.array_equal(first, second)


def test_holes_carry_no_noise(model):
    mask = ops.Mask.box((20, 20), dim_shape=SHAPE)
    y = model.corrupt(mask, mask(clean_images()))
    hidden = np.broadcast_to(mask.support == 0, y.shape)
    assert (y[hidden] == 0).all() and not np.array_equal(y, mask(clean_images()))


def test_library_and_dtype_are_kept(model):
    x = torch.from_numpy(clean_images()).float()
    y = model.corrupt(IDENTITY, x, seed=1)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y.numpy(), model.corrupt(IDENTITY, x.double().numpy(), seed=1), atol=2e-6)


@pytest.mark.parametrize("model", [m for m in MODELS if not isinstance(m, noise.SaltAndPepper)], ids=str)
def test_the_variance_is_that_of_the_noise(model):
    # A ramp, since quantisation errors are spread evenly only over many values.
    clean = np.broadcast_to(np.linspace(0.2, 0.9, 50), (60, *SHAPE)).copy()
    clean += 0.01 * np.random.default_rng(1).random(clean.shape)
    error = model.corrupt(IDENTITY, clean) - clean
    assert (error**2).mean() == pytest.approx(model.variance(clean).mean(), rel=0.05)
    if not isinstance(model, noise.Quantisation):
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(error.size)
        bright, dark = error[..., 40:].var(), error[..., :10].var()
        grows = isinstance(model, noise.Poisson | noise.PoissonGaussian)
        assert (bright > 1.5 * dark) == grows


def test_poisson_counts_are_whole():
    y = noise.Poisson(20.0).corrupt(IDENTITY, clean_images())
    np.testing.assert_allclose(20 * y, np.rint(20 * y), atol=1e-12)
    assert y.min() >= 0


def test_poisson_takes_rounding_below_zero_but_no_negative_rates():
    x = clean_images()
    x[0, 0, 0, 0] = -1e-9
    assert noise.Poisson(5.0).corrupt(IDENTITY, x).min() >= 0
    x[0, 0, 0, 0] = -0.1
    with pytest.raises(ArgumentError, match=r"clean: got values down to -0\.1; accepted: values >= 0"):
        noise.Poisson(5.0).corrupt(IDENTITY, x)
    with pytest.raises(ArgumentError, match="clean: got values"):
        noise.PoissonGaussian(5.0, 0.1).corrupt(IDENTITY, x)


def test_salt_and_pepper_replaces_the_fraction():
    x = 0.25 + 0.5 * clean_images(10)
    y = noise.SaltAndPepper(0.2, salt=0.75, low=-1.0, high=2.0).corrupt(IDENTITY, x)
    hit = y != x
    assert hit.mean() == pytest.approx(0.2, abs=0.01)
    assert set(np.round(y[hit], 12)) == {-1.0, 2.0}
    assert (y[hit] > 1).mean() == pytest.approx(0.75, abs=0.02)
    with pytest.raises(UnsupportedError, match="use the huber fidelity"):
        noise.SaltAndPepper(0.2).variance(x)


def test_quantisation_has_the_levels():
    y = noise.Quantisation(2).corrupt(IDENTITY, 1.5 * clean_images() - 0.25)
    np.testing.assert_allclose(np.unique(np.round(y, 12)), [0, 1 / 3, 2 / 3, 1])
    assert noise.Quantisation(8).step == pytest.approx(1 / 255)


def test_config_round_trip(model):
    assert noise.from_config(json.loads(json.dumps(model.config()))) == model


def test_the_fidelity_that_suits_is_registered(model):
    from flowsolve.fidelities import registry

    assert model.fidelity in registry


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise.Gaussian(-1), "sigma: got -1; accepted: a finite number >= 0"),
        (lambda: noise.Poisson(0), "peak: got 0; accepted: a finite number > 0"),
        (lambda: noise.PoissonGaussian(1.0, float("nan")), "sigma: got nan"),
        (lambda: noise.SaltAndPepper(1.5), r"amount: got 1\.5; accepted: a number in \[0, 1\]"),
        (lambda: noise.SaltAndPepper(0.5, low=1, high=0), r"low, high: got \(1, 0\)"),
        (lambda: noise.Quantisation(0), "bits: got 0; accepted: an integer from 1 to 16"),
        (lambda: noise.from_config({"name": "gausian"}), "noise: got 'gausian'.*did you mean 'gaussian'"),
        (lambda: noise.from_config({"name": "poisson", "rate": 1}), "the parameters of poisson: peak"),
        (lambda: noise.from_config({}), "noise: got {}; accepted: a mapping"),
        (lambda: noise.Gaussian(0.1).corrupt(IDENTITY, np.ones((3, 3))), r"clean: got shape \(3, 3\)"),
        (lambda: noise.Gaussian(0.1).corrupt(IDENTITY, clean_images(), seed=-1), "seed: got -1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_texts_are_models():
    assert noise.parse_noise("poisson:peak=30") == noise.Poisson(30)
    assert noise.parse_noise("poisson_gaussian:peak=30,sigma=0.01") == noise.PoissonGaussian(30, 0.01)
    assert noise.parse_noise("quantisation:bits=3") == noise.Quantisation(3)
    for text, message in (
        ("poison:peak=3", "did you mean 'poisson'"),
        ("poisson", "the parameters of poisson: peak"),
        ("poisson:peak", "such as poisson:peak=30"),
        ("poisson:peak=much", "such as poisson:peak=30"),
        ("poisson:rate=3", "the parameters of poisson: peak"),
    ):
        with pytest.raises(ArgumentError, match=message):
            noise.parse_noise(text)
    assert noise.parameters_of("salt_and_pepper") == {"amount": ..., "salt": 0.5, "low": 0.0, "high": 1.0}


def test_the_level_is_what_the_differences_are(model):
    x = clean_images(4)
    y = model.corrupt(IDENTITY, x, seed=3)
    assert model.level(np.clip(y, 0, 1)) == pytest.approx(np.sqrt(((y - x) ** 2).mean()), rel=0.1)


def test_the_data_term_is_that_of_the_noise(model):
    from flowsolve.fidelities import registry

    y = np.clip(model.corrupt(IDENTITY, clean_images(), seed=3), 0, None)
    fidelity = model.data_fidelity(y)
    assert isinstance(fidelity, registry.get(model.fidelity)) and np.isfinite(fidelity.value(0 * y, y)).all()
