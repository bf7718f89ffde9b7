"""Small flows with every weight away from its initial value, and images to run them on."""

import itertools

import pytest
import torch

from flowsolve.flows import Glow, GlowConfig, load_prior

COUPLINGS = ("additive", "affine")
SPLIT_PRIORS = ("conditional", "standard")


def tiny_glow(coupling="affine", split_prior="conditional", size=8, channels=2, levels=2, steps=2, seed=1):
    """Return a float64 flow small enough for its Jacobian, with random weights everywhere."""
    config = GlowConfig(
        channels=channels,
        image_size=size,
        levels=levels,
        steps=steps,
        hidden=5,
        coupling=coupling,
        split_prior=split_prior,
    )
    glow = Glow(config, seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.07 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return glow


def synthetic_image(dtype=torch.float64):
    """Return a smooth 64x64 RGB image with an edge, (1, 3, 64, 64) in [0, 1]."""
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    row, column = row.double(), column.double()
    waves = [
        0.5 + 0.3 * torch.sin(0.11 * row + phase) * torch.cos(0.07 * column) for phase in (0.0, 0.4, 0.8)
    ]
    image = torch.stack(waves) + 0.1 * ((row - 30) ** 2 + (column - 34) ** 2 < 300)
    return image[None].to(dtype)


@pytest.fixture(scope="session")
def faces():
    return load_prior("faces64-additive")


@pytest.fixture(scope="session")
def faces_double():
    return load_prior("faces64-additive", dtype=torch.float64)


@pytest.fixture(params=list(itertools.product(COUPLINGS, SPLIT_PRIORS)), ids="-".join)
def glow(request):
    return tiny_glow(*request.param)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(3, 2, 8, 8, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="session")
def make_glow():
    return tiny_glow


@pytest.fixture(scope="session")
def synthetic():
    return synthetic_image()


@pytest.fixture(scope="session")
def photograph():
    """Return a face of scikit-image's own photograph, (1, 3, 64, 64) float64 in [0, 1]."""
    data = pytest.importorskip("skimage.data")
    crop = torch.from_numpy(data.astronaut()[20:212, 130:322].copy()).permute(2, 0, 1)[None].double() / 255
    return torch.nn.functional.avg_pool2d(crop, 3)
