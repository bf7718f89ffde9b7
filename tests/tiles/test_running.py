"""What comes of tiles is what comes of the whole, with seams that cannot be seen."""

import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve import baselines
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.flows import FlowPrior, Glow, GlowConfig
from flowsolve.result import Iterate, Result
from flowsolve.tiles import restore_by_tiles, running, tile_size

SHAPE = (1, 112, 100)


@pytest.fixture(scope="module")
def any_size():
    return FlowPrior(Glow(GlowConfig(channels=3, levels=2, steps=1, hidden=4), seed=3), name="any")


def photograph(shape=SHAPE):
    from skimage import data
    from skimage.transform import resize

    grey = resize(data.camera(), shape[1:], anti_aliasing=True)
    return torch.as_tensor(np.broadcast_to(grey, (1, *shape)).copy(), dtype=torch.float32)


def make_problem(operator, sigma=0.02):
    x = photograph(operator.dim_shape)
    return fs.InverseProblem(operator, fs.degrade(operator, x, sigma=sigma), sigma=sigma, x_true=x)


OPERATORS = [
    ops.Identity(SHAPE),
    ops.Blur.uniform(5, SHAPE),
    ops.Blur.gaussian(1.0, SHAPE, boundary="reflect"),
    ops.Downsample(2, SHAPE),
    ops.Mask.random(0.4, dim_shape=SHAPE, seed=1),
]


def as_result(x):
    n, nothing = len(x), np.zeros(len(x))
    iterate = Iterate(x, x.new_zeros(n, 0), nothing, nothing)
    trace = {name: np.zeros((1, n)) for name in ("value", "evaluations", "seconds")}
    return Result(iterate, iterate, ["converged"] * n, trace, {"evaluations": nothing}, nothing, 0.0)


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_tiles_agree_with_the_whole(any_size, operator):
    """By a restoration that is as local as the operator: what differs is the tiles' doing."""
    problem = make_problem(operator)

    def restore(part, share=1.0):
        if isinstance(operator, ops.Mask):
            return as_result(baselines.harmonic_fill(part))
        grey = torch.full((len(part), *part.operator.dim_shape), 0.5)
        return as_result(grey + part.operator.tikhonov(part.y - part.operator.apply(grey), 0.05))

    whole, tiled = restore(problem).x, restore_by_tiles(problem, any_size, 64, restore).x
    truth = problem.x_true
    # At the edges a circular blur reaches around the image, of which a tile has an estimate alone.
    inside = (..., slice(8, -8), slice(8, -8))
    assert abs(fs.psnr(tiled[inside], truth[inside])[0] - fs.psnr(whole[inside], truth[inside])[0]) < 0.1
    assert abs(fs.psnr(tiled, truth)[0] - fs.psnr(whole, truth)[0]) < 0.2
    error = float((whole - truth).square().mean().sqrt())
    apart = (tiled - whole)[inside]
    assert float(apart.abs().max()) < error
    # A seam is a line along which one differs from the other by as much everywhere.
    for axis in (-1, -2):
        assert float(apart.mean(dim=axis).abs().max()) < error / 5


def test_a_photograph_is_restored_by_tiles_as_whole():
    x, identity = photograph((1, 112, 96)), ops.Identity((1, 112, 96))
    y = fs.degrade(identity, x, sigma=0.1)
    problem = fs.InverseProblem(identity, y, sigma=0.1, x_true=x)
    whole, tiled = (fs.restore(problem, "natural", max_iter=2, tile=tile).x for tile in (None, 80))
    assert abs(fs.psnr(tiled, x)[0] - fs.psnr(whole, x)[0]) < 0.1
    assert fs.psnr(tiled, whole.clamp(0, 1))[0] > 35


def test_restore_by_tiles_says_so_and_has_no_latents(any_size):
    problem = make_problem(ops.Identity(SHAPE))
    result = fs.restore(problem, any_size, max_iter=2, tile=64)
    assert result.x.shape == (1, *SHAPE) and result.z.shape == (1, 0)
    assert any("restored by 9 tiles" in note for note in result.notes)
    assert result.method.name == "auto" and len(result.status) == 1


def test_memory_is_that_of_a_few_tiles(any_size, monkeypatch):
    monkeypatch.setattr(running, "LARGE", 2 * 64**2)
    seen = []

    def run(part, share):
        seen.append((len(part), share))
        return fs.solve(fs.Analysis(part, any_size, lam=0.01), max_iter=1)

    restore_by_tiles(make_problem(ops.Identity(SHAPE)), any_size, 64, run)
    assert max(n for n, _ in seen) <= 2 and sum(share for _, share in seen) == pytest.approx(1)


def test_which_size_is_chosen(any_size, tiny_prior):
    small, large = make_problem(ops.Identity(SHAPE)), make_problem(ops.Identity((1, 600, 600)))
    assert tile_size("auto", small, any_size) is None and tile_size("off", large, any_size) is None
    assert tile_size("auto", large, any_size) == 256 and tile_size(64, small, any_size) == 64
    assert tile_size(128, small, any_size) is None
    for tile in (0, True, 1.5, "big"):
        with pytest.raises(ArgumentError, match="tile"):
            tile_size(tile, small, any_size)
    with pytest.raises(UnsupportedError, match="one size"):
        tile_size(64, small, tiny_prior)


def test_operators_of_the_whole_image_refuse_tiles_and_auto_leaves_them(any_size):
    whole = make_problem(ops.RandomProjection(50, SHAPE, seed=0))
    with pytest.raises(UnsupportedError, match="as a whole"):
        fs.restore(whole, any_size, max_iter=1, tile=64)
    assert tile_size("auto", whole, any_size) is None


def test_a_record_is_refused(any_size, tmp_path):
    with pytest.raises(ArgumentError, match="record"):
        fs.restore(make_problem(ops.Identity(SHAPE)), any_size, tile=64, record=tmp_path / "a.h5")
