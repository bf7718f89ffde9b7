import pytest
import torch

from flowsolve.solvers import LBFGS, GradientDescent, make_solver, registry
from flowsolve.solvers.conformance import SolverConformance, assert_conforms, check, run
from flowsolve.solvers.conformance_problems import BREAKS_AT, FORMULATIONS, make_objective
from flowsolve.solvers.searches import registry as searches


def marked(name):
    """Return the name, marked where its second-order products take a while."""
    return pytest.param(name, marks=[pytest.mark.slow] if name.startswith("scipy:") else [])


@pytest.mark.parametrize("name", [marked(name) for name in sorted(registry)])
def test_every_registered_solver_conforms(name):
    assert_conforms(name)


PAIRS = [
    (name, search)
    for name in ("gradient_descent", "momentum", "nonlinear_cg", "lbfgs", "gauss_newton")
    for search in sorted(searches)
    if searches.get(search).needs in registry.get(name).offers and search != registry.get(name).default_search
]


@pytest.mark.parametrize(("name", "search"), PAIRS, ids=str)
def test_every_descent_conforms_with_every_search_it_takes(name, search):
    options = {"cg_iterations": 4} if name == "gauss_newton" else {}
    assert_conforms(make_solver(name, search=search, **options))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lbfgs", {"scaling": "levels"}),
        ("momentum", {"variant": "nesterov"}),
        ("nonlinear_cg", {"beta": "polak-ribiere"}),
        ("gauss_newton", {"preconditioner": "lbfgs", "cg_iterations": 4}),
        ("gauss_newton", {"preconditioner": "diagonal", "cg_iterations": 4}),
        ("forward_backward", {"split": "flow"}),
    ],
    ids=str,
)
def test_variants_conform(name, options):
    assert_conforms(make_solver(name, **options))


class TestByInheritance(SolverConformance):
    def make_solver(self):
        return LBFGS(history=3)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_the_flows_break_on_the_way_to_the_solution(formulation):
    result = run(LBFGS(), make_objective(formulation))
    if formulation == "analysis":
        assert ((result.x - 0.5).square().mean((1, 2, 3)).sqrt() > 1.5 * BREAKS_AT["encode"]).all()
    else:
        assert (result.z.square().mean(1).sqrt() > 1.5 * BREAKS_AT["decode"]).all()


def failures(solver):
    return {report.name for report in check(solver) if not report.passed}


def test_coupled_images_are_found():
    class Coupled(GradientDescent):
        def propose(self, objective, state):
            proposal = super().propose(objective, state)
            proposal.direction = proposal.direction - 1e-3 * proposal.direction.mean(0, keepdim=True)
            return proposal

    assert {"batch: values", "dropping finished images"} <= failures(Coupled())


def test_uncounted_work_and_lost_dtypes_are_found():
    class Sloppy(GradientDescent):
        def step(self, objective, state):
            objective.prior.encode(objective.image(state.u))
            new = super().step(objective, state)
            new.u = new.u.to(torch.float64)
            return new

    assert {"counts", "dtype"} <= failures(Sloppy())


def test_steps_that_only_rise_are_found():
    class Uphill(GradientDescent):
        def step(self, objective, state):
            state.evaluation.grad = -state.evaluation.grad
            return super().step(objective, state)

    assert "progress" in failures(Uphill(search="fixed", step_size=1e-6))
