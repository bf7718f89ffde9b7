"""Priors as people outside the package have them: a RealNVP of normflows, an energy, denoisers, all tiny."""

import numpy as np
import pytest
import torch

from flowsolve.priors import DenoiserPrior, EnergyPrior, NormflowsPrior, on_numpy

N = 3 * 8 * 8


class Tame(torch.nn.Module):
    """A small network whose output is small too: a flow near the identity, as a trained one is."""

    def __init__(self, seed, bounded):
        super().__init__()
        torch.manual_seed(seed)
        self.body = torch.nn.Sequential(torch.nn.Linear(N, 16), torch.nn.Tanh(), torch.nn.Linear(16, N))
        self.bounded = bounded

    def forward(self, x):
        out = 0.3 * self.body(x)
        return torch.tanh(out) if self.bounded else out


def make_realnvp(dtype=torch.float64, **options):
    """Return a RealNVP of normflows over images as vectors, its base not standard normal."""
    normflows = pytest.importorskip("normflows", reason="normflows is not installed")
    with torch.random.fork_rng():
        half = (torch.arange(N) % 2).float()
        masks = [half, 1 - half, half, 1 - half]
        blocks = [
            normflows.flows.MaskedAffineFlow(mask, Tame(2 * k, False), Tame(2 * k + 1, True))
            for k, mask in enumerate(masks)
        ]
        flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(N), blocks)
        with torch.no_grad():
            flow.q0.loc.fill_(0.1)
            flow.q0.log_scale.copy_(torch.linspace(-1, -0.5, N)[None])
    given = {"vectors": True, "offset": -0.5, "name": "realnvp", "dtype": dtype} | options
    return NormflowsPrior(flow, (3, 8, 8), **given)


def roughness(x):
    """Return 20 times the squared differences of neighbours of images (N, C, H, W)."""
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return 20 * (across.square().sum((1, 2, 3)) + down.square().sum((1, 2, 3)))


def make_energy(dtype=torch.float64, **options):
    return EnergyPrior(roughness, dtype=dtype, **options)


class Smoother(torch.nn.Module):
    """A linear denoiser with a symmetric Jacobian: D = (1 − s) x + s blur x."""

    def __init__(self):
        super().__init__()
        kernel = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16
        self.register_buffer("kernel", kernel.expand(3, 1, 3, 3).clone())

    def forward(self, x, sigma):
        share = min(1.0, 10 * float(sigma))
        return x + share * (torch.nn.functional.conv2d(x, self.kernel, padding=1, groups=3) - x)


def make_denoiser(dtype=torch.float64, **options):
    return DenoiserPrior(Smoother(), dtype=dtype, **options)


def make_plain_denoiser(*, device="cpu", dtype=torch.float64):
    """Return the denoiser without a level, as a registered prior is made."""
    return make_denoiser(dtype, device=device)


def total_variation(image, sigma):
    """Denoise one NumPy image (H, W, C)."""
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(image, weight=0.3 * sigma, channel_axis=-1)


def make_numpy_denoiser(dtype=torch.float64, **options):
    return DenoiserPrior(on_numpy(total_variation), dtype=dtype, **options)


def as_numpy(x):
    return np.asarray(x.detach())
