import dataclasses

import numpy as np
import pytest
import torch
from helpers import Quadratic

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.solvers import make_solver, registry
from flowsolve.tally import Tally

NAMES = [name for name in registry if name.startswith("torch:")]
START = torch.ones(3, 20, dtype=torch.float64)


def run(solver, objective, start, iterations):
    """Return the iterates of each step."""
    state, iterates = solver.init(objective, start.clone()), []
    for _ in range(iterations):
        state = solver.step(objective, state)
        iterates.append(state.u.clone())
    solver.close(state)
    return iterates


def alone(quadratic, i):
    one = quadratic.select(torch.tensor([i]))
    one.indices, one.tally = np.arange(1), Tally(1)
    return one


def directly(objective, start, make, iterations):
    """Return the iterates of an optimiser of torch on the one image of an objective."""
    parameter, iterates = start[0].clone(), []
    optimizer = make([parameter])

    def closure():
        evaluation = objective.evaluate(parameter[None])
        parameter.grad = evaluation.grad[0].clone()
        return evaluation.value[0]

    for _ in range(iterations):
        optimizer.step(closure)
        iterates.append(parameter.clone())
    return iterates


def test_every_class_is_there_but_those_of_other_parameters():
    assert {"torch:LBFGS", "torch:SGD", "torch:AdamW", "torch:Rprop", "torch:Adafactor"} <= set(NAMES)
    assert not {"torch:SparseAdam", "torch:Muon", "torch:Optimizer"} & set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "torch:LBFGS"])
@pytest.mark.parametrize("i", [0, 2])
def test_iterates_of_a_batch_are_those_of_torch_on_each_image(name, i, quadratic):
    theirs = directly(alone(quadratic, i), START[i : i + 1], getattr(torch.optim, name[6:]), 8)
    ours = run(make_solver(name), quadratic, START, 8)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine[i].numpy(), other.numpy())
    assert quadratic.tally.counts["evaluations"].tolist() == [9, 9, 9]


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_iterates_are_those_of_torch_and_its_evaluations_no_more(search, quadratic):
    def make(parameters):
        return torch.optim.LBFGS(parameters, line_search_fn=search, max_iter=10, max_eval=200)

    objective = alone(quadratic, 1)
    (theirs,) = directly(objective, START[:1], make, 1)
    spent = objective.tally.counts["evaluations"].item()
    ours = run(make_solver("torch:LBFGS", line_search_fn=search), quadratic, START, 10)
    np.testing.assert_allclose(ours[-1][1].numpy(), theirs.numpy(), rtol=1e-12, atol=1e-14)
    # Without a search torch leaves out the evaluation of the last iterate, which the trace needs.
    assert quadratic.tally.counts["evaluations"][1] == spent + (search is None)


def test_lbfgs_says_converged_where_its_tolerance_is_met(quadratic):
    solver = make_solver("torch:LBFGS", line_search_fn="strong_wolfe", tolerance_grad=1e-2)
    state = solver.init(quadratic, START.clone())
    for _ in range(150):
        state = solver.step(quadratic, state)
    assert state.ends() == ["converged"] * 3
    torch.testing.assert_close(state.u, quadratic.centre, rtol=0, atol=1e-2)
    again = solver.step(quadratic, state)
    torch.testing.assert_close(again.u, state.u, rtol=0, atol=0)


def test_dropped_images_leave_the_others_as_they_were(quadratic):
    solver = make_solver("torch:Adam", lr=0.1)
    whole = run(solver, quadratic, START, 9)[-1]
    state = solver.init(quadratic, START.clone())
    for _ in range(4):
        state = solver.step(quadratic, state)
    rest = torch.tensor([0, 2])
    state, objective = state.select(rest), quadratic.select(rest)
    for _ in range(5):
        state = solver.step(objective, state)
    np.testing.assert_array_equal(state.u.numpy(), whole[rest].numpy())


def test_options_are_those_of_the_class_and_reach_it(quadratic):
    with pytest.raises(ArgumentError, match="got beta1; accepted: lr, betas, eps, weight_decay"):
        make_solver("torch:Adam", beta1=0.9)
    with pytest.raises(ArgumentError, match=r"options of solver 'torch:SGD'.*Invalid learning rate: -1"):
        make_solver("torch:SGD", lr=-1)
    with pytest.raises(ArgumentError, match="line_search_fn must be None or 'strong_wolfe'"):
        make_solver("torch:LBFGS", line_search_fn="armijo")
    solver = make_solver("torch:SGD", lr=0.01, momentum=0.5)
    assert solver.config()["momentum"] == 0.5
    first = run(solver, quadratic, START, 1)[0]
    torch.testing.assert_close(first, START - 0.01 * quadratic.curvature * (START - quadratic.centre))
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver.lr = 1.0


def test_dtype_is_kept(problem, tiny_prior):
    prior = tiny_prior.to(dtype=torch.float32)
    for name in ("torch:LBFGS", "torch:Adam", "scipy:L-BFGS-B", "pyxu:PGD"):
        result = fs.solve(fs.Analysis(problem, prior), name, max_iter=3, rtol=None)
        assert result.x.dtype == torch.float32
        assert (result.value < result.trace["value"][0]).all()


def test_a_diverging_optimiser_ends_with_the_best_iterate():
    objective = Quadratic(torch.full((1, 2), 10.0).double(), torch.zeros(1, 2).double())
    iterates = run(make_solver("torch:SGD", lr=10.0), objective, torch.ones(1, 2).double(), 400)
    assert not torch.isfinite(iterates[-1]).all()
