"""Noise in the record: what was assumed is written, and comes back in a rerun and a resumed run."""

import json

import numpy as np
import pytest
from helpers import make_images, make_tiny_prior

import flowsolve as fs
from flowsolve import noise
from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError
from flowsolve.recording.rebuild import problem_of

MODELS = [
    noise.Poisson(40.0),
    noise.PoissonGaussian(40.0, 0.02),
    noise.SaltAndPepper(0.1),
    noise.Quantisation(4),
]


def make_noisy(model, n=2):
    operator, x = ops.Blur.uniform(3, (3, 8, 8)), make_images(n)
    return fs.InverseProblem(operator, fs.degrade(operator, x, noise=model, seed=1), noise=model, x_true=x)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_a_recorded_run_is_repeated_with_its_noise(tmp_path, model):
    objective = fs.Analysis(make_noisy(model), make_tiny_prior())
    path = tmp_path / "run.h5"
    fs.solve(objective, "lbfgs", "zeros", max_iter=3, record=path)
    config = fs.open_run(path).config
    assert config["noise"]["model"] == model.config()["name"]
    assert config["objective"]["fidelity"]["name"] == model.fidelity
    assert problem_of(fs.open_run(path)).noise == model
    assert fs.rerun(path, prior=objective.prior).identical


def test_an_interrupted_run_goes_on_with_its_noise(tmp_path):
    objective = fs.Analysis(make_noisy(MODELS[0]), make_tiny_prior())
    options = {"checkpoint_seconds": 0}
    whole = fs.solve(objective, "lbfgs", "zeros", max_iter=6, record=tmp_path / "a.h5", **options)

    def interrupt(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    path = tmp_path / "b.h5"
    with pytest.raises(KeyboardInterrupt):
        fs.solve(objective, "lbfgs", "zeros", max_iter=6, record=path, callback=interrupt, **options)
    again = fs.resume(path, prior=objective.prior)
    np.testing.assert_array_equal(again.trace["value"], whole.trace["value"])


@pytest.mark.parametrize("model", MODELS[:3], ids=lambda m: type(m).__name__)
def test_the_method_auto_with_noise_that_is_not_gaussian(tmp_path, model):
    prior, path = make_tiny_prior(), tmp_path / "run.h5"
    result = fs.restore(make_noisy(model), prior, max_iter=6, record=path)
    assert np.isfinite(result.value).all()
    assert fs.open_run(path).config["objective"]["fidelity"]["name"] == model.fidelity
    assert fs.rerun(path, prior=prior).identical


def test_noise_that_cannot_be_described_is_refused_before_the_run(tmp_path):
    class Odd(noise.NoiseModel):
        def _noise(self, clean, rng):
            return 0 * clean

        def variance(self, clean):
            return 0 * clean + 0.01

    objective = fs.Analysis(make_noisy(Odd()), make_tiny_prior())
    with pytest.raises(UnsupportedError, match="register_noise_model"):
        fs.solve(objective, "lbfgs", "zeros", max_iter=1, record=tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())


def test_records_of_gaussian_noise_are_as_they_were(tmp_path, problem, tiny_prior):
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=1, record=tmp_path / "run.h5")
    config = fs.open_run(tmp_path / "run.h5").config
    assert json.dumps(config["noise"]) == '{"model": "gaussian", "sigma": 0.05}'
    assert config["objective"]["fidelity"] == {"name": "least_squares"}
