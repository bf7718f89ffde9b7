import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.baselines import ORACLES, classical_start, registry, suited_baselines
from flowsolve.operators.conformance_examples import examples

SHAPE = (3, 8, 8)


@pytest.mark.parametrize(
    ("operator", "sigma", "start"),
    [
        (ops.Identity(SHAPE), 0.1, "non-local-means"),
        (ops.Mask.box(3, dim_shape=SHAPE), 0.0, "harmonic"),
        (ops.Mask.box(3, dim_shape=SHAPE), 0.1, "total-variation"),
        (ops.Downsample(2, SHAPE), 0.01, "back-projection"),
        (ops.Downsample(2, SHAPE), 0.1, "total-variation"),
        (ops.Blur.uniform(3, SHAPE), 0.01, "total-variation"),
        (ops.Radon(4, SHAPE), 0.01, "total-variation"),
    ],
)
def test_the_start_suits_operator_and_noise_and_restores(operator, sigma, start):
    problem = make_problem(operator, sigma=sigma)
    assert classical_start(problem) == start
    x = registry.get(start)(problem)
    assert x.shape == (3, *SHAPE) and torch.isfinite(x).all()


def test_oracles_need_the_truth():
    problem = make_problem(ops.Blur.uniform(3, SHAPE))
    assert set(ORACLES) <= set(suited_baselines(problem))
    blind = fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)
    assert not set(ORACLES) & set(suited_baselines(blind))


def test_every_operator_has_some_and_all_are_registered():
    for name, operator in examples().items():
        y = operator.apply(np.zeros((operator.n_images or 1, *operator.dim_shape)))
        problem = fs.InverseProblem(operator, y, sigma=0.01)
        suited = suited_baselines(problem)
        assert suited and all(registry.get(n) is f for n, f in suited.items()), name
        assert classical_start(problem) in registry, name


def test_those_of_a_mask_restore_what_it_hides():
    problem = make_problem(ops.Mask.random(missing=0.3, dim_shape=SHAPE, seed=0), sigma=0.0)
    for name, restore in suited_baselines(problem).items():
        assert (restore(problem) - make_images()).abs().mean() < 0.1, name
