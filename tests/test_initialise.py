import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.initialise import Start, make_start, registry, usual_start

ANY = ["adjoint", "pinv", "random", "tikhonov", "total-variation", "uniform", "zeros"]


def test_all_starts_are_tested():
    assert set(registry) == {*ANY, "classical", "harmonic", "bicubic", "back-projection", "non-local-means"}


@pytest.mark.parametrize(
    ("operator", "name"),
    [
        (ops.Downsample(2, (3, 8, 8)), "back-projection"),
        (ops.Blur.uniform(3, (3, 8, 8)), "total-variation"),
        (ops.Mask.box(3, dim_shape=(3, 8, 8)), "harmonic"),
        (ops.Identity((3, 8, 8)), "non-local-means"),
        (ops.RandomProjection(100, (3, 8, 8)), "total-variation"),
    ],
)
def test_the_usual_start_suits_operator_and_formulation(operator, name, tiny_prior):
    problem = make_problem(operator, sigma=0.01)
    assert usual_start("auto", fs.Synthesis(problem, tiny_prior)) == "zeros"
    assert usual_start("auto", fs.Analysis(problem, tiny_prior)) == name
    assert usual_start("pinv", fs.Analysis(problem, tiny_prior)) == "pinv"
    chosen, named = (make_start(which, problem, tiny_prior, seed=1) for which in ("classical", name))
    assert chosen.name == name and torch.equal(chosen.x, named.x)
    result = fs.solve(fs.Analysis(problem, tiny_prior), max_iter=0)
    torch.testing.assert_close(result.x, named.x)


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize(
    "operator",
    [ops.Downsample(2, (3, 8, 8)), ops.Blur.uniform(3, (3, 8, 8)), ops.Mask.box(3, dim_shape=(3, 8, 8))],
)
def test_starts_fit_the_problem(name, operator, tiny_prior):
    problem = make_problem(operator)
    start = make_start(name, problem, tiny_prior, seed=4)
    assert (start.name, start.seed) == (name, 4)
    assert (start.x is None) != (start.z is None)
    if start.x is not None:
        assert start.x.shape == (3, 3, 8, 8) and start.x.dtype == problem.y.dtype
    else:
        assert start.z.shape == (3, 192) and start.z.dtype == problem.y.dtype


@pytest.mark.parametrize("name", ["random", "uniform"])
def test_random_starts_depend_on_the_seed_and_the_image_alone(name, tiny_prior):
    problem = make_problem()

    def draw(problem, seed):
        start = make_start(name, problem, tiny_prior, seed=seed)
        return start.x if start.z is None else start.z

    first = draw(problem, 0)
    assert torch.equal(first, draw(problem, 0))
    assert torch.equal(first[:2], draw(problem.select([0, 1]), 0))
    assert not torch.equal(first, draw(problem, 1))
    assert not torch.equal(first[0], first[1])
    with pytest.raises(ArgumentError, match="seed"):
        draw(problem, -1)


def test_a_random_start_is_not_the_noise(tiny_prior):
    clean, noisy = (make_problem(ops.Identity((3, 8, 8)), sigma=s) for s in (0.0, 1.0))
    z = make_start("random", noisy, tiny_prior, seed=0).z
    noise = (noisy.y - clean.y).flatten(1)
    correlation = torch.corrcoef(torch.stack([z[0], noise[0]]))[0, 1]
    assert abs(correlation) < 0.3


def test_encoded_starts(tiny_prior):
    problem = make_problem()
    image = make_start("harmonic", problem, tiny_prior).x
    start = make_start("encoded:harmonic", problem, tiny_prior, seed=2)
    assert start.x is None and start.name == "encoded:harmonic"
    torch.testing.assert_close(tiny_prior.decode(start.z), image, atol=1e-8, rtol=0)
    with pytest.raises(ArgumentError, match="latent already"):
        make_start("encoded:zeros", problem, tiny_prior)


def test_starts_for_one_kind_of_operator(tiny_prior):
    masked, coarse = make_problem(), make_problem(ops.Downsample(2, (3, 8, 8)))
    assert make_start("bicubic", coarse, tiny_prior).x.shape == (3, 3, 8, 8)
    assert make_start("back-projection", coarse, tiny_prior).x.shape == (3, 3, 8, 8)
    with pytest.raises(UnsupportedError, match="Mask"):
        make_start("harmonic", coarse, tiny_prior)
    with pytest.raises(UnsupportedError, match="Downsample"):
        make_start("bicubic", masked, tiny_prior)


def test_unknown_names_suggest_the_nearest(tiny_prior):
    with pytest.raises(ArgumentError, match=r"init: .*did you mean 'harmonic'"):
        make_start("harmonik", make_problem(), tiny_prior)


def test_a_start_is_one_finite_thing():
    x = torch.zeros(1, 3, 8, 8)
    for bad in ({}, {"x": x, "z": torch.zeros(1, 192)}, {"x": x + torch.nan}):
        with pytest.raises(ArgumentError, match="start"):
            Start(**bad)
