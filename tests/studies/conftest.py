"""A study that was run, and study files beside tiny photographs and a tiny prior."""

import pytest
from helpers import make_images
from study_records import make_cell, make_study

from flowsolve.encoding import write_png
from flowsolve.flows import save_prior
from flowsolve.studies.index import read_index

SMALL = """
[budget]
max_iter = 3
[[cells]]
task = ["deblur", "denoise"]
solver = ["lbfgs", "adam"]
prior = "tiny.safetensors"
start = "adjoint"
"""


@pytest.fixture(scope="session")
def small_study(tmp_path_factory, tiny_prior):
    """A folder of two solvers from three starts, two more weights, a failure and a cell that waits."""
    starts = [("zeros", 0), ("random", 0), ("random", 1)]
    cells = [make_cell(solver, start, seed) for solver in ("lbfgs", "adam") for start, seed in starts]
    cells += [make_cell(lam=lam) for lam in (0.01, 0.1)]
    folder = tmp_path_factory.mktemp("study") / "small"
    return make_study(folder, tiny_prior, cells, [make_cell("momentum")], [make_cell("nonlinear_cg")])


@pytest.fixture(scope="session")
def small_index(small_study):
    return read_index([small_study])


@pytest.fixture
def study(tmp_path, tiny_prior):
    """Write study files: ``study(text)`` returns the path of a file whose images are three of 8x8."""
    folder = tmp_path / "study"
    (folder / "photos").mkdir(parents=True)
    save_prior(folder / "tiny.safetensors", tiny_prior)
    for i, x in enumerate(make_images(3)):
        write_png(folder / "photos" / f"photo{i}.png", x.numpy())

    def write(text=SMALL, head='images = "photos"\n'):
        path = folder / "study.toml"
        path.write_text(head + text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def small(study):
    """The plan of four cells that take milliseconds."""
    from flowsolve.studies.planning import make_plan

    return make_plan(study())
