"""Every solver on operators whose measurements have another number of axes than images."""

import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.solvers import registry

SHAPE = (3, 8, 8)
OPERATORS = {
    "random_projection": ops.RandomProjection(50, SHAPE),
    "fourier": ops.Fourier({"lines": {"acceleration": 2, "n_images": 2}}, SHAPE),
    "gradient": ops.Gradient(SHAPE),
}


def marked(name):
    return pytest.param(name, marks=[pytest.mark.slow] if name.startswith("scipy:") else [])


@pytest.mark.parametrize("operator", sorted(OPERATORS))
@pytest.mark.parametrize("solver", [marked(name) for name in sorted(registry)])
def test_every_solver_lowers_the_objective(solver, operator, tiny_prior):
    problem = make_problem(OPERATORS[operator], n=2)
    result = fs.solve(fs.Analysis(problem, tiny_prior), solver, "zeros", max_iter=3)
    assert np.isfinite(result.trace["value"]).all()
    assert (result.value <= result.trace["value"][0]).all()


@pytest.mark.parametrize("solver", ["forward_backward", "pyxu:PGD", "pyxu:CondatVu"])
def test_images_of_a_batch_do_what_they_do_alone(solver, tiny_prior):
    problem = make_problem(OPERATORS["random_projection"], n=2)
    together = fs.solve(fs.Analysis(problem, tiny_prior), solver, "adjoint", max_iter=4, rtol=None)
    for i in range(2):
        alone = fs.solve(
            fs.Analysis(problem.select([i]), tiny_prior), solver, "adjoint", max_iter=4, rtol=None
        )
        torch.testing.assert_close(together.x[[i]], alone.x, atol=1e-8, rtol=1e-8)
