import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.solvers.conformance_problems import FaultyPrior
from flowsolve.solvers.two_spaces import (
    IMAGES,
    LATENTS,
    lasting_space,
    measured_share,
    promising_space,
    there_and_back,
)

SHAPE = (3, 8, 8)


def objective(operator, prior, phi="nll"):
    return fs.Analysis(make_problem(operator), prior, phi=phi)


def test_of_a_mask_the_measured_share_is_that_of_the_pixels_kept(tiny_prior):
    mask = ops.Mask.random(missing=0.25, dim_shape=SHAPE, seed=1, n_images=3)
    share = measured_share(objective(mask, tiny_prior))
    kept = mask.apply(torch.ones(3, *SHAPE, dtype=torch.float64)).flatten(1).sum(1) / 192
    torch.testing.assert_close(share, kept)


def test_of_a_block_average_it_is_the_rank_and_of_a_blur_less_than_one(tiny_prior):
    average = measured_share(objective(ops.Downsample(2, SHAPE), tiny_prior))
    torch.testing.assert_close(average, torch.full((3,), 0.25, dtype=torch.float64), rtol=0.4, atol=0)
    assert (measured_share(objective(ops.Blur.uniform(5, SHAPE), tiny_prior)) < 0.3).all()


@pytest.mark.parametrize(("missing", "expected"), [(0.1, IMAGES), (0.8, LATENTS)])
def test_the_first_space_is_the_lasting_one_where_little_is_measured(missing, expected, tiny_prior):
    mask = ops.Mask.random(missing=missing, dim_shape=SHAPE, seed=1, n_images=3)
    assert tiny_prior.config.coupling == "additive"
    nll, latent = objective(mask, tiny_prior).counterpart(), objective(mask, tiny_prior, "latent")
    assert lasting_space(nll) == LATENTS and promising_space(nll).tolist() == [expected] * 3
    assert lasting_space(latent) == IMAGES and promising_space(latent).tolist() == [1 - expected] * 3
    # Over images nothing is gained where the flow does not lead back.
    for other in (objective(mask, tiny_prior, "typical"), objective(mask, tiny_prior)):
        assert promising_space(other).tolist() == [lasting_space(other)] * 3 == [IMAGES] * 3


def test_a_sound_flow_leads_back_and_a_broken_one_does_not():
    problem = make_problem()
    x = torch.rand(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0] = 0.5
    sound = fs.Analysis(problem, FaultyPrior("nan gradient"))
    z, same = there_and_back(sound, x, IMAGES)
    torch.testing.assert_close(z, sound.prior.encode(x))
    assert same.all()
    for fault in ("nan", "infinity", "discontinuous"):
        broken = fs.Analysis(problem, FaultyPrior(fault))
        assert not there_and_back(broken, x, IMAGES)[1][1:].any()
