import dataclasses

import pytest
import torch

from flowsolve.errors import ArgumentError
from flowsolve.solvers import LBFGS, DescentSolver, make_solver, registry
from flowsolve.solvers.searches import Armijo, BarzilaiBorwein, Fixed, StrongWolfe


def run(solver, objective, u, iterations):
    """Return the state after so many iterations."""
    state = solver.init(objective, u)
    for _ in range(iterations):
        state = solver.step(objective, state)
    return state


@pytest.mark.parametrize("name", ["gradient_descent", "momentum", "nonlinear_cg", "adam", "lbfgs"])
def test_a_batch_takes_the_steps_its_images_take_alone(name, quadratic):
    solver = make_solver(name)
    start = torch.ones(3, 20, dtype=torch.float64)
    together = run(solver, quadratic, start.clone(), 12)
    for i in range(3):
        alone = run(solver, quadratic.select(torch.tensor([i])), start[i : i + 1].clone(), 12)
        torch.testing.assert_close(alone.u[0], together.u[i], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["gradient_descent", "momentum", "nonlinear_cg", "adam", "lbfgs"])
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
    assert set(solver.config()) >= {f.name for f in dataclasses.fields(cls)}
    assert set(solver.config()) == set(cls.accepted_options())
    assert make_solver(name, **solver.config()) == solver
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
        ("gradient_descent", {"search": "exact"}, "search: got 'exact'; accepted: armijo, "),
        ("gradient_descent", {"search": "trust-region"}, "search of gradient_descent: got 'trust-region'"),
        (
            "lbfgs",
            {"search": "barzilai-borwein"},
            "accepted: 'armijo', 'fixed', 'strong-wolfe', 'trust-region'$",
        ),
        ("lbfgs", {"search": "levenberg-marquardt"}, "search of lbfgs: got 'levenberg-marquardt'"),
        ("lbfgs", {"search": "armijo", "curvature": 0.5}, "option of solver 'lbfgs': got curvature"),
        ("lbfgs", {"search": Fixed}, "search"),
        ("lbfgs", {"search": BarzilaiBorwein()}, "search of lbfgs: got barzilai-borwein"),
        ("lbfgs", {"history": 2.5}, "history: got 2.5; accepted: an integer >= 1"),
        ("nonlinear_cg", {"search": "fixed"}, "accepted: 'armijo', 'strong-wolfe'$"),
        ("momentum", {"beta": 1.0}, "beta"),
        ("momentum", {"variant": "polyak"}, "variant: got 'polyak'"),
        ("nonlinear_cg", {"beta": "fletcher"}, "'polak-ribiere' or 'hager-zhang' or 'dai-yuan'"),
        ("gauss_newton", {"preconditioner": "ilu"}, "preconditioner"),
        ("gauss_newton", {"forcing": 1.0}, "forcing"),
        ("gauss_newton", {"search": "trust-region", "damping": 1.0}, "accepted: .*radius"),
        ("gauss_newton", {"damping": -1}, "damping"),
        ("gauss_newton", {"search": "trust-region", "radius": 0}, "radius"),
        ("gradient_descent", {"step_size": float("nan")}, "step_size"),
        ("forward_backward", {"momentum": "heavy"}, "momentum"),
        ("forward_backward", {"shrink": 1}, "shrink"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        make_solver(name, **options)


def test_a_search_is_given_by_name_or_as_an_object_with_flat_options():
    assert make_solver("lbfgs", search="armijo", max_trials=3).search == Armijo(max_trials=3)
    assert LBFGS(search=Armijo(memory=4), max_trials=3).search == Armijo(memory=4, max_trials=3)
    assert LBFGS(curvature=0.1) == LBFGS(search=StrongWolfe(curvature=0.1))
    assert make_solver("nonlinear_cg").search.curvature == 0.3
    assert make_solver("nonlinear_cg", search="armijo").search == Armijo()
    assert make_solver("lbfgs", history=3, curvature=0.5).config() == {
        "history": 3,
        "scaling": "auto",
        "search": "strong-wolfe",
        "step_size": None,
        "sufficient_decrease": 1e-4,
        "curvature": 0.5,
        "max_trials": 20,
    }


def test_descents_and_searches_have_no_option_of_the_same_name():
    # Options of both are given side by side.
    from flowsolve.solvers.searches import registry as searches

    for name in registry:
        cls = registry.get(name)
        if issubclass(cls, DescentSolver):
            own = {f.name for f in dataclasses.fields(cls)}
            for search in searches:
                if searches.get(search).needs in cls.offers:
                    assert not own & {f.name for f in dataclasses.fields(searches.get(search))}
