"""Tiny pictures and tiny flows, so that whole trainings take a second."""

import numpy as np
import pytest
import torch
from PIL import Image

from flowsolve.flows import Glow, GlowConfig
from flowsolve.flows.training import TrainingOptions


def picture(seed, height=8, width=8):
    """Return a smooth uint8 picture (height, width, 3) with a little grain."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width] / 8
    waves = [np.sin(2 * row + a) * np.cos(2 * column + b) for a, b in random.uniform(0, 3, (3, 2))]
    return (np.stack(waves, -1) * 80 + 128 + random.normal(0, 3, (height, width, 3))).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of 24 pictures, 8x8."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(24):
        Image.fromarray(picture(i)).save(folder / f"p{i:02}.png")
    return folder


@pytest.fixture
def options(pictures, tmp_path):
    """Return a function that makes options of a run of few steps."""

    def make(**values):
        defaults = {
            "data": [pictures],
            "out": tmp_path / "out",
            "hours": 1000.0,
            "size": 8,
            "levels": 2,
            "steps": 2,
            "hidden": 8,
            "batch": 4,
            "max_updates": 6,
            "lr": 0.01,
        }
        return TrainingOptions(**{**defaults, **values})

    return make


@pytest.fixture
def make_tiny():
    def make(coupling="additive", split_prior="conditional", seed=0):
        config = GlowConfig(
            image_size=8, levels=2, steps=2, hidden=8, coupling=coupling, split_prior=split_prior
        )
        glow = Glow(config, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in glow.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        return glow

    return make


@pytest.fixture
def make_picture():
    return picture
