import glob
import tempfile
import warnings

import numpy as np
import pytest
import pyxu.abc as pxa
import pyxu.operator as pxo
import pyxu.opt.solver as pxs
import pyxu.opt.stop as pxst
import torch
from helpers import Quadratic

import flowsolve as fs
from flowsolve.errors import ArgumentError
from flowsolve.functionals import Box, PyxuFunctional, TotalVariation
from flowsolve.objectives.split import Split
from flowsolve.solvers import make_solver

STEPS = 12


class Sparse(Quadratic):
    """A quadratic plus ‖u‖₁ times a weight, as f and g."""

    weight = 2.0

    def select(self, index):
        other = Sparse(self.curvature[index], self.centre[index])
        other.indices, other.tally = self.indices[np.asarray(index)], self.tally
        return other

    def split(self, name="auto"):
        def prox(v, tau):
            return torch.sign(v) * (v.abs() - self.weight * tau[:, None]).clamp(min=0)

        def nonsmooth(u):
            return self.weight * u.abs().sum(1)

        def merge(u, evaluation):
            whole = evaluation.clone()
            whole.value = whole.value + nonsmooth(u)
            return whole

        return Split("g", self.evaluate, prox, nonsmooth, merge)


@pytest.fixture
def sparse(quadratic):
    return Sparse(quadratic.curvature, quadratic.centre)


def run(solver, objective, iterations=STEPS):
    """Return the iterates of each step and the last state."""
    state, iterates = solver.init(objective, torch.ones(len(objective), 20, dtype=torch.float64)), []
    for _ in range(iterations):
        state = solver.step(objective, state)
        iterates.append(state.u.clone())
    solver.close(state)
    return iterates, state


def theirs(solver, i, quadratic, **options):
    """Return the iterates of a solver of Pyxu on one image."""
    solver.fit(x0=np.ones(20), stop_crit=pxst.MaxIter(STEPS), mode=pxa.SolverMode.MANUAL, **options)
    return [data["x"].copy() for data in solver.steps()]


def smooth(quadratic, i):
    """Return ½⟨u − c, H(u − c)⟩ in Pyxu's operators."""
    root = pxo.DiagonalOp(quadratic.curvature[i].sqrt().numpy())
    f = 0.5 * pxo.SquaredL2Norm(20).argshift(-(root.apply(quadratic.centre[i].numpy()))) * root
    f.diff_lipschitz = float(quadratic.curvature[i].max())
    return f


@pytest.mark.parametrize("acceleration", [True, False])
def test_pgd_iterates_are_those_of_pyxu(acceleration, sparse):
    tau = 1 / float(sparse.curvature.max())
    ours, _ = run(make_solver("pyxu:PGD", tau=tau, acceleration=acceleration), sparse)
    for i in range(3):
        solver = pxs.PGD(smooth(sparse, i), sparse.weight * pxo.L1Norm(20), show_progress=False)
        others = theirs(solver, i, sparse, tau=tau, acceleration=acceleration)
        for mine, other in zip(ours, others, strict=True):
            np.testing.assert_allclose(mine[i].numpy(), other, rtol=1e-9, atol=1e-12)
    # The start and the probe of the curvature; then the iterates, and with acceleration the points ahead of
    # all but the first.
    expected = 1 + 2 * STEPS if acceleration else 2 + STEPS
    assert sparse.tally.counts["evaluations"].tolist() == [expected] * 3


def test_condat_vu_iterates_are_those_of_pyxu(sparse):
    beta = float(sparse.curvature.max())
    ours, _ = run(make_solver("pyxu:CondatVu", beta=beta), sparse)
    for i in range(3):
        solver = pxs.CondatVu(smooth(sparse, i), sparse.weight * pxo.L1Norm(20), show_progress=False)
        others = theirs(solver, i, sparse, beta=beta)
        for mine, other in zip(ours, others, strict=True):
            np.testing.assert_allclose(mine[i].numpy(), other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("variant", ["PR", "FR"])
def test_nlcg_iterates_are_those_of_pyxu(variant, quadratic):
    ours, _ = run(make_solver("pyxu:NLCG", a0=0.1, variant=variant), quadratic)
    for i in range(3):
        solver = pxs.NLCG(smooth(quadratic, i), show_progress=False)
        others = theirs(solver, i, quadratic, a0=0.1, variant=variant)
        for mine, other in zip(ours, others, strict=True):
            np.testing.assert_allclose(mine[i].numpy(), other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["pyxu:PGD", "pyxu:CondatVu", "pyxu:NLCG"])
def test_a_batch_is_its_images_alone_and_leaves_nothing_behind(name, sparse):
    before = set(glob.glob(f"{tempfile.gettempdir()}/*pyxu*"))
    together, _ = run(make_solver(name), sparse)
    for i in range(3):
        one = sparse.select(torch.tensor([i]))
        alone, _ = run(make_solver(name), one)
        for mine, other in zip(alone, together, strict=True):
            torch.testing.assert_close(mine[0], other[i], rtol=1e-9, atol=1e-12)
    assert set(glob.glob(f"{tempfile.gettempdir()}/*pyxu*")) <= before


def test_condat_vu_and_forward_backward_agree_on_total_variation(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, extra=TotalVariation(0.05), lam=0.01)
    theirs = fs.solve(objective, "pyxu:CondatVu", "adjoint", max_iter=250, rtol=None)
    ours = fs.solve(objective, "forward_backward", "adjoint", max_iter=40, rtol=None)
    assert set(theirs.status) == {"max_iter"}
    np.testing.assert_allclose(theirs.value, ours.value, rtol=2e-3)


@pytest.mark.parametrize("name", ["pyxu:PGD", "pyxu:CondatVu"])
def test_boxes_and_functionals_of_pyxu_are_taken(name, tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, extra=Box(0.3, 0.7), lam=0.01)
    result = fs.solve(objective, name, "zeros", max_iter=60)
    assert result.x.min() >= 0.3 and result.x.max() <= 0.7
    assert np.isfinite(result.trace["value"]).all()
    extra = PyxuFunctional(pxo.L1Norm((3, 8, 8)), weight=0.01)
    result = fs.solve(fs.Analysis(problem, tiny_prior, extra=extra), name, "adjoint", max_iter=20)
    assert (result.value < result.trace["value"][0]).all()


def test_what_pyxu_raises_is_passed_on_and_not_printed(capfd, sparse, monkeypatch):
    def broken(self):
        raise FloatingPointError("broken")

    monkeypatch.setattr(pxs.PGD, "m_step", broken)
    with pytest.raises(ArgumentError, match="FloatingPointError: broken"):
        run(make_solver("pyxu:PGD"), sparse)
    assert capfd.readouterr() == ("", "")


def test_an_error_later_on_ends_the_image_alone(tiny_prior, problem, monkeypatch):
    step, calls = pxs.PGD.m_step, []

    def broken(self):
        calls.append(id(self))
        if calls.count(calls[0]) == 4 and calls[-1] == calls[0]:
            raise FloatingPointError("broken")
        step(self)

    monkeypatch.setattr(pxs.PGD, "m_step", broken)
    with pytest.warns(RuntimeWarning, match="pyxu:PGD ended an image with FloatingPointError: broken"):
        result = fs.solve(fs.Analysis(problem, tiny_prior), "pyxu:PGD", "adjoint", max_iter=8, rtol=None)
    assert sorted(result.status) == ["max_iter", "max_iter", "stalled"]
    assert (result.value < result.trace["value"][0]).all()


def test_a_step_that_is_too_long_ends_as_diverged_with_the_best_iterate(tiny_prior, problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = fs.solve(fs.Synthesis(problem, tiny_prior), "pyxu:PGD", tau=5.0, max_iter=60, rtol=None)
    assert set(result.status) == {"diverged"}
    assert np.isfinite(result.value).all() and (result.value <= result.trace["value"][0]).all()
    assert torch.isfinite(result.x).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pyxu:PGD", {"tau": 0.0}, "tau"),
        ("pyxu:PGD", {"d": 2.0}, "d: got 2.0; accepted: a number > 2"),
        ("pyxu:PGD", {"lr": 2.0}, "accepted: split, tau, acceleration, d"),
        ("pyxu:NLCG", {"variant": "HZ"}, "'PR' or 'FR'"),
        ("pyxu:NLCG", {"r": 1.0}, "r"),
        ("pyxu:CondatVu", {"tuning_strategy": 4}, "1 or 2 or 3"),
        ("pyxu:CondatVu", {"beta": -1.0}, "beta"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        make_solver(name, **options)


def test_a_split_that_is_not_there_is_named(tiny_prior, problem):
    with pytest.raises(ArgumentError, match="split: got 'latent'"):
        fs.solve(fs.Analysis(problem, tiny_prior), "pyxu:PGD", split="latent")
