import json

import pytest
import torch
from helpers import make_problem
from methods_of_stages import IMAGES, LATENTS, TWO

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.restoration import make_method_run


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"problem": "mask"}, "problem"),
        ({"method": "aut"}, "did you mean 'auto'"),
        ({"method": 3}, "method"),
        ({"method": "none.json"}, "cannot be read"),
        ({"prior": "face64"}, "did you mean 'faces64'"),
        ({"max_iter": 0}, "max_iter"),
        ({"max_iter": 2.5}, "max_iter"),
        ({"max_iter": True}, "max_iter"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_seconds": "1"}, "max_seconds"),
        ({"max_seconds": float("nan")}, "max_seconds"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(given, named, tiny_prior, tmp_path):
    options = {"problem": make_problem(), "prior": tiny_prior, "method": TWO} | given
    with pytest.raises(ArgumentError) as error:
        fs.restore(**options, record=tmp_path / "run.h5")
    assert named in str(error.value) and not list(tmp_path.iterdir())


def test_a_restoration_is_that_of_the_method(tiny_prior, problem, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(TWO.as_json()))
    by_method, by_file = (fs.restore(problem, tiny_prior, m, seed=3) for m in (TWO, path))
    torch.testing.assert_close(by_method.x, by_file.x, rtol=0, atol=0)
    assert by_file.method == TWO and by_file.method.reason == "to be tested" and by_file.fallback is None


def test_iterations_are_those_of_all_stages_together(tiny_prior, problem):
    result = fs.restore(problem, tiny_prior, TWO, max_iter=6)
    assert result.iterations.tolist() == [6] * 3
    lengths = [stage.max_iter for stage in result.method.stages]
    assert sum(lengths) == 6 and all(
        n < stage.max_iter for n, stage in zip(lengths, (LATENTS, IMAGES), strict=True)
    )
    assert fs.restore(problem, tiny_prior, TWO, max_iter=100).method == TWO


def test_infinite_time_is_no_limit(tiny_prior, problem):
    assert make_method_run(problem, tiny_prior, TWO, max_seconds=float("inf")).max_seconds is None


def test_seeds_make_other_random_starts(tiny_prior, problem):
    stage = {"init": "random", "formulation": "synthesis", "max_iter": 2}
    method = fs.methods.Method.from_json([stage])
    first, again, other = (fs.restore(problem, tiny_prior, method, seed=s).x for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_one_that_is_stopped_at_once_says_so_and_is_no_worse_than_the_classical_start(tiny_prior):
    operator = ops.Mask.box(5, dim_shape=(3, 8, 8))
    for sigma in (0.0, 0.01):
        problem = make_problem(operator, sigma=sigma)
        result = fs.restore(problem, tiny_prior, callback=lambda progress: True)
        assert result.status == ["stopped"] * 3 and "stopped in stage 1 of" in result.notes[0]
        assert result.fallback.all()
        torch.testing.assert_close(result.x, fs.baselines.registry.get("harmonic")(problem))
