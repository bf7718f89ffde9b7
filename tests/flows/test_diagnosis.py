"""Health of priors: numbers against their definitions, and problems that are found."""

import math

import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.flows import FlowPrior, health
from flowsolve.flows.training.likelihood import bits_per_dim


@pytest.fixture
def prior(glow):
    with torch.no_grad():
        # Images of less contrast than noise, as of a flow that was trained: fewer bits than 8.
        glow.levels[0].steps[0].actnorm.log_scale.add_(2.5)
    return FlowPrior(glow, dtype=torch.float64)


def test_numbers_are_those_of_the_definitions(prior):
    images = prior.sample(3, seed=4)
    report = health(prior, images)
    z, log_det = prior.encode(images, log_det=True)
    assert len(report) == 3 and report.finite.all()
    expected = {
        "norm": z.square().mean(1),
        "log_det": log_det,
        "bits_per_dim": bits_per_dim(prior.log_prob(images), prior.n, 8),
        "level_norms": torch.stack([level.square().flatten(1).mean(1) for level in prior.split_latent(z)], 1),
    }
    for name, values in expected.items():
        torch.testing.assert_close(torch.from_numpy(getattr(report, name)), values)
    # The inverse is exact up to rounding, and a precision is lost, but no more than float32 has.
    for error in (report.image_error, report.latent_error_relative):
        assert (error > 0).all() and (error < 1e-12).all()
    assert (report.precision > 1e-10).all() and (report.precision < 1e-4).all()
    single = health(prior.to(dtype=torch.float32), images.float())
    assert (single.image_error > 1e-9).all() and (single.image_error < 1e-4).all()
    assert single.precision == pytest.approx(report.precision, rel=0.5, abs=1e-7)


def test_samples_are_typical_at_their_temperature(prior):
    for temperature in (0.7, 1.0):
        report = health(prior, prior.sample(64, 1, temperature), temperature)
        assert report.problems() == []
        spread = math.sqrt(2 / prior.n)
        assert abs(report.norm.mean() / temperature**2 - 1) < 4 * spread / 8
        assert report.norm.std() / temperature**2 == pytest.approx(spread, rel=0.4)
        assert f"samples: {temperature**2:.3g} +- {spread * temperature**2:.2g}" in str(report)


def test_leading_dimensions_are_images_one_after_the_other(prior, images):
    whole, nested = health(prior, images), health(prior, images[None, :, None])
    assert nested.norm.tolist() == whole.norm.tolist()
    assert health(prior, images[1]).norm.tolist() == pytest.approx([whole.norm[1]])


def test_any_size(make_glow):
    prior = FlowPrior(make_glow(size=None), dtype=torch.float32)
    report = health(prior, torch.rand(2, 2, 4, 8, generator=torch.Generator().manual_seed(0)))
    assert report.n == 64 and report.level_norms.shape == (2, 2)


def test_what_is_wrong_is_said(prior):
    far = prior.sample(3, seed=2)
    assert health(prior, far).problems() == []
    far[1] += 3.0
    sentences = health(prior, far).problems()
    assert any(s.startswith("1 of 3 images (number 1): ||z||^2/n is ") for s in sentences)
    assert any("||z||^2/n of a level is" in s for s in sentences)
    assert any("bits a dimension are more than those of uniform noise (limit 8)." in s for s in sentences)
    assert "number 0, 1" in " ".join(health(prior, prior.sample(2, 0), temperature=0.1).problems())
    far[2, 0, 0, 0] = math.nan
    report = health(prior, far)
    assert report.problems() == ["1 of 3 images (number 2): latents, images or energies are not finite."]
    assert "nan" in str(report)


def test_a_broken_inverse_and_lost_precision_are_said(make_glow, images):
    glow = make_glow("affine")
    with torch.no_grad():
        # Scales near 0 throw the changed half away.
        glow.levels[0].steps[0].coupling.conv3.bias[:] = -40.0
    prior = FlowPrior(glow, dtype=torch.float32)
    sentences = health(prior, images.float()).problems()
    assert any("misses" in s or "not finite" in s for s in sentences), sentences


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_bad_temperatures(prior, images, temperature):
    with pytest.raises(ArgumentError, match="temperature: got"):
        health(prior, images, temperature)


def test_bad_images(prior, images):
    with pytest.raises(ArgumentError, match=r"x: got torch\.float32"):
        health(prior, images.float())
    with pytest.raises(ArgumentError, match="x: got no images"):
        health(prior, images[:0])
    with pytest.raises(ArgumentError, match="x: got int"):
        health(prior, 3)
