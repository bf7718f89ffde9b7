import numpy as np
import pytest
import torch
from helpers import make_problem

from flowsolve import baselines
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.fidelities import HeldOutLeastSquares, LeastSquares
from flowsolve.methods.checked import checked_start, without

HELD = HeldOutLeastSquares(0.3, seed=1)


@pytest.fixture
def problem():
    return make_problem(sigma=0.01)


def test_the_classical_restoration_is_preferred_where_the_stage_predicts_worse(problem):
    x = problem.x_true.clone()
    x[1] += 0.4
    start = checked_start("harmonic", problem, HELD, x, x, seed=5)
    classical = baselines.harmonic_fill(problem)
    torch.testing.assert_close(start.x[[0, 2]], x[[0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(start.x[1], classical[1], rtol=0, atol=0)
    assert start.name == "previous, harmonic for 1 of 3 images" and start.seed == 5
    assert checked_start("harmonic", problem, HELD, problem.x_true, problem.x_true, seed=5).name == "previous"


def test_a_stage_is_judged_and_a_later_one_gone_on_from(problem):
    judged, x = problem.x_true.clone(), problem.x_true + 0.01
    judged[1] += 0.4
    start = checked_start("harmonic", problem, HELD, judged, x, seed=0)
    torch.testing.assert_close(start.x[[0, 2]], x[[0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(start.x[1], baselines.harmonic_fill(problem)[1], rtol=0, atol=0)


def test_what_was_fitted_does_not_count(problem):
    hidden = torch.as_tensor(HELD.held_out((3, 8, 8)))
    # Far off wherever it was fitted, but right where it was not.
    x = torch.where(hidden, problem.x_true, problem.x_true + 5)
    assert checked_start("harmonic", problem, HELD, x, x, seed=0).name == "previous"


@pytest.mark.parametrize("n_images", [None, 3])
def test_the_comparison_is_on_what_the_stage_has_seen(n_images):
    problem = make_problem(ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=n_images))
    less = without(problem, HELD)
    shown = np.broadcast_to(np.asarray(problem.operator.mask), problem.y.shape) != 0
    expected = shown & ~HELD.held_out((3, 8, 8))
    np.testing.assert_array_equal(np.broadcast_to(np.asarray(less.operator.mask), shown.shape) != 0, expected)
    np.testing.assert_array_equal(less.y.numpy() != 0, expected & (problem.y.numpy() != 0))
    assert less.x_true is None and less.sigma == problem.sigma


def test_without_anything_held_out_or_a_mask_there_is_no_check(problem):
    x = problem.x_true
    with pytest.raises(ArgumentError, match="holds out"):
        checked_start("harmonic", problem, LeastSquares(), x, x, 0)
    identity = make_problem(ops.Identity((3, 8, 8)), sigma=0.1)
    with pytest.raises(ArgumentError, match="a mask"):
        checked_start("tikhonov", identity, HELD, x, x, 0)
