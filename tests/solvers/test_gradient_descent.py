import pytest
import torch

from flowsolve.solvers import GradientDescent


def descend(objective, solver, iterations):
    state = solver.init(objective, torch.ones(3, 20, dtype=torch.float64))
    values = [state.evaluation.value]
    for _ in range(iterations):
        state = solver.step(objective, state)
        values.append(state.evaluation.value)
    return state, torch.stack(values)


def test_fixed_steps_have_the_rate_of_the_textbook(quadratic):
    # With step 1/L, F(u_k) − F* ≤ L‖u_0 − u*‖²/(2k) for convex F.
    smoothness = quadratic.curvature.amax(1)
    for i in range(3):
        one = quadratic.select(torch.tensor([i]))
        solver = GradientDescent(search="fixed", step_size=float(1 / smoothness[i]))
        state = solver.init(one, torch.ones(1, 20, dtype=torch.float64))
        bound = smoothness[i] * (1 - quadratic.centre[i]).square().sum() / 2
        for k in range(1, 60):
            state = solver.step(one, state)
            assert state.evaluation.value.item() <= bound / k + 1e-12


def test_armijo_never_rises(quadratic):
    _, values = descend(quadratic, GradientDescent(search="armijo"), 40)
    assert (values[1:] <= values[:-1]).all()


def test_barzilai_borwein_is_far_ahead_of_armijo_on_an_ill_conditioned_problem(quadratic):
    _, armijo = descend(quadratic, GradientDescent(search="armijo"), 150)
    _, spectral = descend(quadratic, GradientDescent(search="barzilai-borwein"), 150)
    assert (spectral[-1] < 0.2 * armijo[-1]).all()


def test_barzilai_borwein_stays_below_the_worst_of_its_memory(quadratic):
    _, values = descend(quadratic, GradientDescent(memory=5), 60)
    for k in range(6, 61):
        assert (values[k] <= values[k - 6 : k].amax(0) + 1e-12).all()


def test_a_minimum_is_left_alone_and_reported_as_failed(quadratic):
    solver = GradientDescent()
    state = solver.step(quadratic, solver.init(quadratic, quadratic.centre.clone()))
    assert state.failed.all()
    torch.testing.assert_close(state.u, quadratic.centre)


@pytest.mark.parametrize("search", ["armijo", "barzilai-borwein"])
def test_step_size_is_the_first_trial(search, quadratic):
    state, _ = descend(quadratic, GradientDescent(search=search, step_size=1e-6), 1)
    torch.testing.assert_close(state.step, torch.full((3,), 1e-6, dtype=torch.float64))
