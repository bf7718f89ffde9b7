"""A tiny prior in a file and tiny photographs, so that whole runs take a second."""

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.transform import resize

from flowsolve.cli import main
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


@pytest.fixture
def solve(prior_file, photographs, capsys):
    """Run ``flowsolve solve`` and return (exit code, standard output, standard error)."""

    def run(*arguments, task="inpaint-random", images=None, max_iter=3):
        images = [photographs] if images is None else images
        words = ["solve", *images, "--task", task, "--prior", prior_file, "--max-iter", max_iter, *arguments]
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
