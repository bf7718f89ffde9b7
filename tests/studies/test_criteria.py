import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.initialise import make_start
from flowsolve.studies.candidates import Candidate
from flowsolve.studies.criteria import ByHeldOut, ByHeldOutPixels, ByPsnr, hidden_pixels, make_criterion
from flowsolve.studies.probing import Probe

BLUR = ops.Blur.uniform(3, dim_shape=(3, 8, 8), boundary="circular")


def probe(rule, prior, lam="map", solver="adam", iterations=4):
    candidate = Candidate("analysis", "nll", lam, solver, "zeros")
    found = Probe(candidate, rule, prior, make_start("zeros", rule.seen, prior))
    while found.iterations < iterations:
        found.advance(0.0)
        rule.curve(found.run)
    return found


def blind(problem):
    return fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)


def test_psnr_is_that_of_the_lowest_f_so_far(tiny_prior, problem):
    rule = make_criterion("auto", problem)
    found = probe(rule, tiny_prior, solver="lbfgs")
    iterations, scores = rule.curve(found.run)
    result = found.run.result()
    own = result.trace["psnr"][result.best.iteration, np.arange(3)].mean()
    assert isinstance(rule, ByPsnr) and scores[-1] == pytest.approx(own)
    assert iterations.tolist() == list(range(len(scores))) and rule.best(found.run) == scores.max()


def test_the_truth_is_not_needed_where_measurements_are_held_out(tiny_prior):
    problem = make_problem(BLUR)
    rule = make_criterion("auto", blind(problem))
    assert isinstance(rule, ByHeldOut) and rule.problem.y is rule.problem.y
    found = probe(rule, tiny_prior)
    _, scores = rule.curve(found.run)
    hidden = torch.as_tensor(rule.fidelity.held_out((3, 8, 8)))
    start = found.run.objective.image(found.objective.from_latent(torch.zeros(3, 192, dtype=torch.float64)))
    error = (BLUR.apply(start) - problem.y)[..., hidden].flatten(1).square().mean(1).sqrt()
    assert scores[0] == pytest.approx(float(error.mean()))
    assert rule.best(found.run) == scores.min()


def test_starts_do_not_see_what_is_held_out():
    problem = blind(make_problem(BLUR))
    rule = ByHeldOut(problem)
    hidden = torch.as_tensor(rule.fidelity.held_out((3, 8, 8)))
    other = problem.y.clone()
    other[..., hidden] += 5.0
    again = ByHeldOut(fs.InverseProblem(BLUR, other, sigma=problem.sigma))
    torch.testing.assert_close(rule.seen.y, again.seen.y)
    torch.testing.assert_close(rule.seen.y[..., ~hidden], problem.y[..., ~hidden])


@pytest.mark.parametrize("sigma", [0.0, 0.05])
@pytest.mark.parametrize("n_images", [None, 3])
def test_pixels_of_a_mask_are_hidden_by_a_smaller_mask(sigma, n_images, tiny_prior):
    mask = ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=n_images)
    problem = blind(make_problem(mask, sigma=sigma))
    rule = make_criterion("held-out", problem)
    assert isinstance(rule, ByHeldOutPixels)
    left = np.broadcast_to(rule.problem.operator.mask, (3, 3, 8, 8)) != 0
    all_of_them = np.broadcast_to(mask.mask, (3, 3, 8, 8)) != 0
    assert (left <= all_of_them).all() and 0 < (all_of_them & ~left).sum() < all_of_them.sum() / 4
    assert (rule.problem.y.numpy()[~left] == 0).all()
    found = probe(rule, tiny_prior)
    x = found.run.objective.image(found.run.best_u)
    missed = torch.as_tensor(all_of_them & ~left)
    error = torch.where(missed, x - problem.y, 0.0).flatten(1).square().sum(1) / missed.flatten(1).sum(1)
    iterations, scores = rule.curve(found.run)
    assert scores[-1] == pytest.approx(float(error.sqrt().mean())) and iterations.tolist() == [0, 1, 2, 3, 4]


def test_a_hole_is_judged_by_a_hole_of_its_form():
    mask = ops.Mask.box(3, dim_shape=(3, 8, 8))
    hidden = hidden_pixels(mask.mask != 0, (3, 8, 8), seed=0)
    missing = mask.mask[0] == 0
    assert hidden.shape == (8, 8) and hidden.sum() == 9 and not (hidden & missing).any()
    rolled = [np.roll(missing, shift, (0, 1)) for shift in np.ndindex(8, 8)]
    assert any((hidden == copy).all() for copy in rolled)
    scattered = hidden_pixels(np.ones((1, 1, 1), dtype=bool), (3, 8, 8))
    assert scattered.sum() == 6
    assert "large hole" in ByHeldOutPixels(blind(make_problem(mask))).explain()
    assert "large hole" not in ByHeldOutPixels(blind(make_problem())).explain()


def test_pixels_of_denoising_are_hidden_too(tiny_prior):
    rule = make_criterion("held-out", blind(make_problem(ops.Identity((3, 8, 8)))))
    assert isinstance(rule, ByHeldOutPixels) and np.isfinite(probe(rule, tiny_prior).score())


def test_measurements_without_neighbours_are_replaced_by_their_mean():
    operator = ops.RandomProjection(60, dim_shape=(3, 8, 8), seed=0)
    rule = ByHeldOut(blind(make_problem(operator)))
    hidden = torch.as_tensor(rule.fidelity.held_out((60,)))
    means = rule.problem.y[:, ~hidden].mean(1, keepdim=True)
    torch.testing.assert_close(rule.seen.y[:, hidden], means.expand(-1, int(hidden.sum())))


def test_bad_input_is_refused():
    problem = make_problem(BLUR, sigma=0.0)
    with pytest.raises(ArgumentError, match="criterion: got 'beauty'"):
        make_criterion("beauty", problem)
    with pytest.raises(ArgumentError, match="psnr"):
        make_criterion("psnr", blind(problem))
    with pytest.raises(UnsupportedError, match="give a sigma > 0"):
        make_criterion("auto", blind(problem))
