import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.fidelities import HeldOutLeastSquares, LeastSquares, from_config
from flowsolve.stopping import HeldOut


def test_fitted_and_held_out_measurements_make_up_all_of_them():
    fidelity, plain = HeldOutLeastSquares(0.25, seed=3), LeastSquares()
    u, y = np.random.default_rng(0).standard_normal((2, 4, 3, 8, 8))
    np.testing.assert_allclose(fidelity.value(u, y) + fidelity.misfit(u, y), plain.value(u, y))
    mask = fidelity.held_out((3, 8, 8))
    assert mask.shape == (8, 8) and mask.sum() == 16
    np.testing.assert_array_equal(fidelity.grad(u, y), np.where(mask, 0, u - y))
    # Where nothing is fitted the proximal step stays.
    moved = fidelity.prox(u, y, 0.7)
    np.testing.assert_array_equal(moved[..., mask], u[..., mask])
    np.testing.assert_allclose(moved[..., ~mask], plain.prox(u, y, 0.7)[..., ~mask])


def test_it_is_described_and_depends_on_its_seed_alone():
    fidelity = HeldOutLeastSquares(0.2, seed=5)
    again = from_config(fidelity.config())
    np.testing.assert_array_equal(again.held_out((40,)), fidelity.held_out((40,)))
    assert (HeldOutLeastSquares(0.2, seed=6).held_out((40,)) != fidelity.held_out((40,))).any()


@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_what_is_held_out_does_not_move_the_solution_and_is_traced(formulation, tiny_prior):
    problem = make_problem(ops.Identity((3, 8, 8)), sigma=0.1)
    fidelity = HeldOutLeastSquares(0.3)
    hidden = torch.as_tensor(fidelity.held_out((3, 8, 8)))
    other = fs.InverseProblem(problem.operator, problem.y + 5.0 * hidden, sigma=0.1, x_true=problem.x_true)
    ours, theirs = (
        fs.solve(formulation(p, tiny_prior, fidelity=fidelity), max_iter=8, rtol=None)
        for p in (problem, other)
    )
    torch.testing.assert_close(ours.x, theirs.x)
    misfit = 0.5 * (ours.final.x - problem.y).square()[..., hidden].flatten(1).sum(1)
    np.testing.assert_allclose(ours.trace["held_out"][-1], misfit)
    assert formulation(problem, tiny_prior, fidelity=fidelity).lam == 0.1**2 / 2


@pytest.mark.parametrize("patience", [3, 10])
def test_a_run_stops_and_keeps_the_image_that_predicted_best(patience, tiny_prior, tmp_path):
    problem = make_problem(ops.Identity((3, 8, 8)), sigma=0.3)
    objective = fs.Synthesis(problem, tiny_prior, lam=0.0, fidelity=HeldOutLeastSquares(0.3))
    path = tmp_path / "run.h5"
    result = fs.solve(objective, max_iter=120, rtol=None, stopping=HeldOut(patience), record=path)
    assert result.status == ["held_out"] * 3
    lowest = result.trace["held_out"].argmin(0)
    np.testing.assert_array_equal(result.best.iteration, lowest)
    np.testing.assert_array_equal(result.iterations, lowest + patience)
    np.testing.assert_array_equal(result.value, result.trace["value"][lowest, range(3)])
    assert (result.value > result.final.value).any()
    assert fs.rerun(path, prior=tiny_prior).identical


def test_a_run_that_watches_what_is_held_out_continues_bit_by_bit(tiny_prior, tmp_path):
    problem = make_problem(ops.Identity((3, 8, 8)), sigma=0.3)
    objective = fs.Synthesis(problem, tiny_prior, lam=0.0, fidelity=HeldOutLeastSquares(0.3))
    options = {"max_iter": 60, "rtol": None, "stopping": HeldOut(5)}
    whole = fs.solve(objective, **options)

    def stop(progress):
        if progress.iteration == 4:
            raise KeyboardInterrupt

    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        fs.solve(objective, record=path, checkpoint_seconds=0, callback=stop, **options)
    resumed = fs.resume(path, prior=tiny_prior)
    torch.testing.assert_close(resumed.x, whole.x, rtol=0, atol=0)
    assert resumed.status == whole.status
    np.testing.assert_array_equal(resumed.best.iteration, whole.best.iteration)


def test_what_cannot_hold_out_is_refused(tiny_prior, problem):
    with pytest.raises(UnsupportedError, match=r"watches 'held_out'.*HeldOutLeastSquares"):
        fs.solve(fs.Analysis(problem, tiny_prior), stopping=HeldOut())
    with pytest.raises(UnsupportedError, match="give a number for lam"):
        fs.Analysis(make_problem(sigma=0.0), tiny_prior, fidelity=HeldOutLeastSquares())
    for options in ({"fraction": 0.0}, {"fraction": 1}, {"seed": -1}, {"seed": 1.5}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            HeldOutLeastSquares(**options)
