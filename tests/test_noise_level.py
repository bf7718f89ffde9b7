import numpy as np
import pytest
import torch
from helpers import make_images, make_tiny_prior

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError
from flowsolve.noise_level import estimate_sigma
from flowsolve.recording.rebuild import problem_of

SHAPE = (3, 32, 32)
GAUSSIAN = np.outer(*[np.exp(-0.5 * (np.arange(-7, 8) / 2.0) ** 2)] * 2)


@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.2])
@pytest.mark.parametrize(
    ("operator", "within"),
    [
        (ops.Identity(SHAPE), 0.1),
        (ops.Blur(GAUSSIAN / GAUSSIAN.sum(), SHAPE), 0.1),
        (ops.Blur.uniform(5, SHAPE, "reflect"), 0.15),
        (ops.Mask.random(missing=0.5, dim_shape=SHAPE, seed=1), 0.2),
        (ops.Mask.random(missing=0.3, dim_shape=SHAPE, seed=1, n_images=3), 0.2),
        (ops.Mosaic(SHAPE), 0.25),
        (ops.RandomProjection(600, (3, 8, 8)), 0.1),
    ],
    ids=["identity", "gaussian", "uniform", "mask", "masks", "mosaic", "more-than-unknowns"],
)
def test_the_noise_of_smooth_images_is_found(operator, within, sigma):
    y = fs.degrade(operator, make_images(size=operator.dim_shape[-1]), sigma=sigma, seed=3)
    assert estimate_sigma(operator, y) == pytest.approx(sigma, rel=within)


@pytest.mark.parametrize("operator", [ops.RandomProjection(40, (3, 8, 8)), ops.Radon(4, (3, 8, 8))])
def test_where_nothing_tells_noise_from_image_it_says_so(operator):
    y = operator.apply(make_images())
    with pytest.raises(UnsupportedError, match=r"sigma: 'auto' cannot tell .* give the standard deviation"):
        fs.InverseProblem(operator, y, sigma="auto")


def test_an_estimate_is_recorded_and_rebuilt(tmp_path):
    operator, path, prior = ops.Identity((3, 8, 8)), tmp_path / "run.h5", make_tiny_prior()
    y = fs.degrade(operator, make_images(), sigma=0.1, seed=3)
    problem = fs.InverseProblem(operator, y, sigma="auto")
    assert problem.sigma_estimated and problem.sigma == pytest.approx(0.1, rel=0.4)
    for part in (problem.select([0]), problem.to(dtype=torch.float32)):
        assert part.sigma_estimated and part.sigma == problem.sigma
    fs.solve(fs.Analysis(problem, prior), max_iter=2, record=path)
    record = fs.open_run(path)
    assert record.config["noise"] == {"model": "gaussian", "sigma": problem.sigma, "estimated": True}
    rebuilt = problem_of(record)
    assert rebuilt.sigma == problem.sigma and rebuilt.sigma_estimated
    assert fs.rerun(path, prior=prior).identical
    assert not fs.InverseProblem(operator, y, sigma=0.1).sigma_estimated
