"""Fixtures of whole commands: a tiny prior in a file and tiny photographs, so that a run takes a second."""

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.transform import resize

from flowsolve.flows import save_prior


@pytest.fixture(scope="session")
def prior_file(tmp_path_factory, tiny_prior):
    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    save_prior(path, tiny_prior)
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of three 8x8 photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for i, left in enumerate((100, 160, 220)):
        crop = resize(data.astronaut()[:128, left : left + 128], (8, 8), anti_aliasing=True)
        Image.fromarray((crop * 255).astype(np.uint8)).save(folder / f"photo{i}.png")
    return folder
