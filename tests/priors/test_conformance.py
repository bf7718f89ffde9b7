"""The kit that priors must pass finds sound ones sound, and says what is wrong with others."""

import pytest
import torch
from helpers import make_tiny_prior
from outside_priors import make_denoiser, make_energy, make_numpy_denoiser, make_realnvp, roughness

from flowsolve.errors import ArgumentError
from flowsolve.flows import GlowPrior
from flowsolve.flows.raw import raw_prior
from flowsolve.priors import DenoiserPrior, EnergyPrior, assert_prior_conforms, check_prior


@pytest.mark.parametrize(
    "make",
    [
        make_tiny_prior,
        lambda: make_tiny_prior(torch.float32),
        lambda: raw_prior(make_tiny_prior()),
        make_realnvp,
        lambda: make_realnvp(torch.float32),
        make_energy,
        lambda: make_denoiser(sigma=0.05),
        lambda: make_denoiser(sigma=0.05, potential="homogeneous"),
        make_denoiser,
        lambda: make_numpy_denoiser(torch.float32),
    ],
)
def test_sound_priors_conform(make):
    assert_prior_conforms(make())


def failures(prior):
    return {report.name for report in check_prior(prior) if not report.passed}


class Askew(GlowPrior):
    """A Glow whose latents, log-determinant or images are spoilt."""

    spoil = ""

    def encode(self, x, log_det=False):
        z, volume = super().encode(x, log_det=True)
        z = z + z.mean(0) if self.spoil == "batch" and len(z) > 1 else z
        volume = 1.01 * volume if self.spoil == "log_det" else volume
        return (z, volume) if log_det else z

    def decode(self, z, log_det=False):
        x, volume = super().decode(z, log_det=True)
        x = x + 1e-3 if self.spoil == "decode" else x
        return (x, volume) if log_det else x


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("", set()),
        ("log_det", {"log-det of D", "log-det of E"}),
        ("decode", {"D(E(x))", "E(D(z))"}),
        ("batch", {"batch: value", "batch: gradient", "D(E(x))", "E(D(z))"}),
    ],
)
def test_a_spoilt_flow_is_found_out(spoil, expected):
    prior = Askew(make_tiny_prior().glow, dtype=torch.float64)
    prior.spoil = spoil
    assert expected <= failures(prior) and (expected or not failures(prior))


class Detached(torch.autograd.Function):
    """The identity with a gradient that is too long."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def test_wrong_energies_and_denoisers_are_found_out():
    assert failures(EnergyPrior(lambda x: roughness(x) + roughness(x).mean())) >= {"batch: value"}
    assert "gradient" in failures(EnergyPrior(lambda x: roughness(Detached.apply(x))))
    wrong = make_denoiser(sigma=0.05, potential=roughness)
    assert failures(wrong) == {"gradient"}
    assert "batch: prox" in failures(DenoiserPrior(lambda x, sigma: x - x.mean(0, keepdim=True)))
    broken = DenoiserPrior(lambda x, sigma: 1 / 0)
    assert {"batch", "record"} <= failures(broken)


def test_its_arguments():
    with pytest.raises(ArgumentError, match="prior: got int"):
        check_prior(3)
    with pytest.raises(ArgumentError, match="x: got 1 image"):
        check_prior(make_energy(), torch.zeros(1, 3, 8, 8))
