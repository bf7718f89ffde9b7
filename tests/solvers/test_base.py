import dataclasses

import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.solvers import LBFGS, make_solver, registry


def run(solver, objective, u, iterations):
    """Return the state after so many iterations."""
    state = solver.init(objective, u)
    for _ in range(iterations):
        state = solver.step(objective, state)
    return state


@pytest.mark.parametrize("name", ["gradient_descent", "adam", "lbfgs"])
def test_a_batch_takes_the_steps_its_images_take_alone(name, quadratic):
    solver = make_solver(name)
    start = torch.ones(3, 20, dtype=torch.float64)
    together = run(solver, quadratic, start.clone(), 12)
    for i in range(3):
        alone = run(solver, quadratic.select(torch.tensor([i])), start[i : i + 1].clone(), 12)
        torch.testing.assert_close(alone.u[0], together.u[i], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["gradient_descent", "adam", "lbfgs"])
def test_dropping_finished_images_does_not_change_the_others(name, quadratic):
    solver = make_solver(name)
    start = torch.ones(3, 20, dtype=torch.float64)
    whole = run(solver, quadratic, start.clone(), 9)
    state = run(solver, quadratic, start.clone(), 4)
    rest = torch.tensor([0, 2])
    objective, state = quadratic.select(rest), state.select(rest)
    for _ in range(5):
        state = solver.step(objective, state)
    torch.testing.assert_close(state.u, whole.u[rest], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(registry))
def test_every_solver_is_frozen_documented_and_describes_its_options(name):
    cls = registry.get(name)
    assert registry.summary(name).endswith(".")
    solver = make_solver(name)
    assert set(solver.config()) == {f.name for f in dataclasses.fields(cls)}
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver.max_trials = 3


def test_unknown_solver_and_option_are_named_with_what_there_is():
    with pytest.raises(ArgumentError, match=r"solver: got 'lbgfs'.*did you mean 'lbfgs'"):
        make_solver("lbgfs")
    with pytest.raises(ArgumentError, match=r"option of solver 'lbfgs': got histroy; accepted: history, "):
        make_solver("lbfgs", histroy=3)
    with pytest.raises(ArgumentError, match="none, when the solver is an object"):
        make_solver(LBFGS(), history=3)
    assert make_solver(LBFGS(history=3)).history == 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adam", {"lr": 0}, "lr: got 0; accepted: a number > 0"),
        ("adam", {"beta1": 1.0}, "beta1.*< 1"),
        ("adam", {"schedule": "linear"}, "'constant' or 'cosine'"),
        ("lbfgs", {"history": -1}, "history"),
        ("lbfgs", {"curvature": 1.5}, "curvature"),
        ("gradient_descent", {"search": "exact"}, "search: got 'exact'"),
        ("gradient_descent", {"step_size": float("nan")}, "step_size"),
        ("forward_backward", {"momentum": "heavy"}, "momentum"),
        ("forward_backward", {"shrink": 1}, "shrink"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        make_solver(name, **options)
