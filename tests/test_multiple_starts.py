import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.multiple_starts import MultiStart


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_every_start_is_run_as_it_would_be_alone_and_the_lowest_is_kept(formulation, solver, tiny_prior):
    problem = make_problem(ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3))
    starts = ["zeros", "random", make_images()]
    many = fs.multistart(formulation(problem, tiny_prior), solver, starts, seed=4, max_iter=8, rtol=None)
    alone = [
        fs.solve(formulation(problem, tiny_prior), solver, start, seed=4 + k, max_iter=8, rtol=None)
        for k, start in enumerate(starts)
    ]
    values = np.stack([result.value for result in alone])
    np.testing.assert_allclose(many.value, values, rtol=1e-8)
    np.testing.assert_array_equal(many.chosen, values.argmin(0))
    best = many.best
    for i, k in enumerate(many.chosen):
        torch.testing.assert_close(best.x[i], alone[k].x[i], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(many.psnr, np.stack([result.trace["psnr"][-1] for result in alone]), rtol=1e-8)
    assert many.starts == ["zeros", "random", "given"]


def test_costs_are_those_of_all_starts_together(tiny_prior, problem):
    many = fs.multistart(
        fs.Analysis(problem, tiny_prior), starts=3, max_iter=None, max_evaluations=30, rtol=None
    )
    best = many.best
    np.testing.assert_array_equal(
        best.counts["evaluations"], many.everything.counts["evaluations"].reshape(3, 3).sum(0)
    )
    np.testing.assert_array_equal(best.trace["evaluations"][-1], best.counts["evaluations"])
    assert (best.counts["evaluations"] >= 30).all() and (best.counts["evaluations"] <= 30 + 3 * 20).all()
    assert best.trace["value"].shape[1] == len(best.status) == len(best.x) == 3


def test_one_record_holds_all_starts_and_can_be_resumed(tiny_prior, problem, tmp_path):
    objective = fs.Synthesis(problem, tiny_prior)
    whole = fs.multistart(objective, starts=2, max_iter=9, rtol=None)

    def stop(progress):
        if progress.iteration == 4:
            raise KeyboardInterrupt

    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        fs.multistart(
            objective, starts=2, max_iter=9, rtol=None, record=path, checkpoint_seconds=0, callback=stop
        )
    start = fs.open_run(path).config["initialiser"]["name"]
    assert start == "multistart:zeros,random"
    resumed = MultiStart.from_result(fs.resume(path, prior=tiny_prior), start)
    np.testing.assert_array_equal(resumed.value, whole.value)
    torch.testing.assert_close(resumed.best.x, whole.best.x, rtol=0, atol=0)
    assert fs.open_run(path).trace["value"].shape[1] == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"starts": 0}, "starts: got 0"),
        ({"starts": []}, r"starts: got \[\]"),
        ({"starts": "zeros"}, "starts: got 'zeros'"),
        ({"starts": ["zeroes"]}, "did you mean 'zeros'"),
        ({"starts": [torch.zeros(2)]}, r"starts: got tensor of shape \(2,\)"),
        ({"starts": 5, "max_evaluations": 4}, "max_evaluations: got 4; accepted: at least one for each of 5"),
    ],
)
def test_bad_starts_are_named(options, message, tiny_prior, problem):
    with pytest.raises(ArgumentError, match=message):
        fs.multistart(fs.Analysis(problem, tiny_prior), **options)
