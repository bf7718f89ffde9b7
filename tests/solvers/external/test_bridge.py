import json
import math
import sys

import numpy as np
import pytest
import torch
from helpers import foreign_threads, wait_until

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.cli import main
from flowsolve.solvers import make_solver, registry
from flowsolve.solvers.external import ExternalState
from flowsolve.solvers.external.hessian import hessian_product

NAMES = [name for name in registry if ":" in name]
#: One of each way that a library is driven.
KINDS = ["scipy:L-BFGS-B", "scipy:trust-ncg", "torch:LBFGS", "torch:Rprop", "pyxu:PGD", "pyxu:NLCG"]
FORMULATIONS = (fs.Analysis, fs.Synthesis)


def assert_no_threads():
    wait_until(lambda: not foreign_threads())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_every_library_lowers_every_objective(name, formulation, tiny_prior, problem):
    objective = formulation(problem, tiny_prior)
    start = torch.full((3, 3, 8, 8), 0.4, dtype=torch.float64)
    result = fs.solve(objective, name, start, max_iter=4, rtol=None)
    assert (result.value < result.trace["value"][0]).all()
    assert torch.isfinite(result.x).all() and torch.isfinite(result.z).all()
    assert all(len(column) == result.iterations.max() + 1 for column in result.trace.values())
    u = result.x if formulation is fs.Analysis else result.z
    np.testing.assert_allclose(objective.value(u).numpy(), result.value, rtol=1e-10)
    assert_no_threads()


@pytest.mark.parametrize("name", [*KINDS, "pyxu:CondatVu", "scipy:CG"])
def test_counts_agree_with_a_counting_wrapper(name, tiny_prior, problem, monkeypatch):
    calls = {"E": np.zeros(3, int), "A": np.zeros(3, int)}
    # What is differentiated twice applies the operator below `apply`, where a mask is its own adjoint.
    products = name == "scipy:trust-ncg"
    method = "_apply" if products else "apply"
    encode, apply = type(tiny_prior).encode, getattr(ops.Mask, method)

    def counting_encode(self, x, log_det=False):
        calls["E"] += 1
        return encode(self, x, log_det)

    def counting_apply(self, x):
        calls["A"] += 1
        return apply(self, x)

    # Each image alone, so that a call is that image's.
    for i in range(3):
        objective = fs.Analysis(problem.select([i]), tiny_prior)
        run = fs.Run(objective, make_solver(name), "adjoint", limits=LIMITS)
        for counts in calls.values():
            counts[:] = 0
        with monkeypatch.context() as patch, run:
            for progress in run:
                if progress.iteration == 1:
                    before = run.tally.copy()
                    patch.setattr(type(tiny_prior), "encode", counting_encode)
                    patch.setattr(ops.Mask, method, counting_apply)
                if progress.iteration == 3:
                    break
            after = run.tally.copy()
        if products:
            after["A"], before["A"] = (counts["A"] + counts["AT"] for counts in (after, before))
        for letter, counted in calls.items():
            # prox_l2 applies the operator inside of its closed form, which the wrapper sees too.
            assert after[letter][0] - before[letter][0] == counted[0]
        assert (after["evaluations"] >= after["gradients"]).all()


LIMITS = {"max_iter": 5, "max_evaluations": None, "max_seconds": None, "rtol": None}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_images_of_a_batch_are_restored_as_they_would_be_alone(name, formulation, tiny_prior, problem):
    together = fs.solve(formulation(problem, tiny_prior), name, "adjoint", max_iter=3, rtol=None)
    for i in range(3):
        one = fs.solve(formulation(problem.select([i]), tiny_prior), name, "adjoint", max_iter=3, rtol=None)
        torch.testing.assert_close(one.x[0], together.x[i], rtol=1e-6, atol=1e-8)
        for count in ("evaluations", "trials", "gradients"):
            assert one.counts[count][0] == together.counts[count][i]


@pytest.mark.parametrize("name", [*KINDS, "pyxu:CondatVu", "scipy:CG"])
@pytest.mark.parametrize("budget", [3, 8, 11])
def test_the_budget_holds_inside_a_step(name, budget, tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    result = fs.solve(objective, name, "adjoint", max_iter=None, max_evaluations=budget, rtol=None)
    assert (result.counts["evaluations"] <= budget).all()
    assert (result.counts["evaluations"] >= budget - 1).all()
    assert set(result.status) == {"max_evaluations"}
    assert (result.value <= result.trace["value"][0]).all()
    assert_no_threads()


def test_a_search_cut_short_keeps_its_lowest_trial(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior)
    result = fs.solve(objective, "scipy:CG", "zeros", max_iter=None, max_evaluations=2, rtol=None)
    assert result.counts["evaluations"].tolist() == [2, 2, 2] and result.iterations.tolist() == [1, 1, 1]
    assert (result.value < result.trace["value"][0]).all()
    np.testing.assert_allclose(objective.value(result.x).numpy(), result.value, rtol=1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_that_turn_to_nan_do_no_harm(name, tiny_prior, problem, monkeypatch):
    objective = fs.Analysis(problem, tiny_prior)
    evaluate, calls = fs.Analysis._evaluate_prior, []

    def spoilt(self, x, gradient):
        calls.append(len(x))
        evaluation = evaluate(self, x, gradient)
        if len(calls) > 6:
            evaluation.value = evaluation.value * math.nan
            if evaluation.grad is not None:
                evaluation.grad = evaluation.grad * math.nan
        return evaluation

    monkeypatch.setattr(fs.Analysis, "_evaluate_prior", spoilt)
    result = fs.solve(objective, name, "adjoint", max_iter=30, max_evaluations=60)
    assert set(result.status) <= {"diverged", "stalled", "converged", "max_evaluations"}
    assert np.isfinite(result.value).all() and torch.isfinite(result.x).all()
    assert (result.value <= result.trace["value"][0]).all()
    assert_no_threads()


def test_an_error_of_the_objective_reaches_the_caller_and_leaves_no_thread(tiny_prior, problem, monkeypatch):
    evaluate, calls = fs.Analysis._evaluate_prior, []

    def broken(self, x, gradient):
        calls.append(len(x))
        if len(calls) > 4:
            raise MemoryError("no more")
        return evaluate(self, x, gradient)

    monkeypatch.setattr(fs.Analysis, "_evaluate_prior", broken)
    with pytest.raises(MemoryError, match="no more"):
        fs.solve(fs.Analysis(problem, tiny_prior), "scipy:L-BFGS-B", max_iter=20)
    assert_no_threads()


@pytest.mark.parametrize("name", KINDS)
def test_an_interrupted_run_leaves_no_thread_and_starts_afresh_when_resumed(
    name, tiny_prior, problem, tmp_path
):
    path = tmp_path / "run.h5"

    def callback(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    objective = fs.Analysis(problem, tiny_prior)
    with pytest.raises(KeyboardInterrupt):
        fs.solve(
            objective, name, "adjoint", record=path, callback=callback, rtol=None, checkpoint_seconds=0.0
        )
    assert_no_threads()
    before = fs.open_run(path)
    assert before.status == "interrupted" and before.config["solver"]["resumes_exactly"] is False
    assert "restarted_at" not in before.config
    at = before.checkpoint()[0]

    seen = []

    def last(progress):
        seen.append(progress.iteration)
        return progress.iteration == 7

    result = fs.resume(path, prior=tiny_prior, callback=last)
    after = fs.open_run(path)
    assert after.status == "finished" and after.config["restarted_at"] == [at]
    assert seen[0] == at + 1
    np.testing.assert_array_equal(after.trace["value"][: at + 1], before.trace["value"][: at + 1])
    assert (result.value <= before.trace["value"][at]).all()
    assert (np.diff(after.trace["evaluations"], axis=0) >= 0).all()
    assert_no_threads()


def test_a_run_is_repeated_from_its_record(tiny_prior, problem, tmp_path):
    for name, options in (("scipy:L-BFGS-B", {"maxcor": 4}), ("torch:Adam", {"betas": (0.8, 0.99)})):
        path = tmp_path / f"{name[:5]}.h5"
        objective = fs.Analysis(problem, tiny_prior)
        fs.solve(objective, name, "adjoint", max_iter=5, record=path, **options)
        assert fs.open_run(path).config["solver"]["name"] == name
        assert fs.rerun(path, prior=tiny_prior).identical


def test_select_and_put_move_the_foreign_solvers(quadratic):
    solver = make_solver("scipy:L-BFGS-B")
    whole = solver.init(quadratic, torch.ones(3, 20, dtype=torch.float64))
    for _ in range(3):
        whole = solver.step(quadratic, whole)
    rest = torch.tensor([2, 0])
    part = whole.select(rest)
    assert part.workers == [whole.workers[2], whole.workers[0]]
    part = solver.step(quadratic.select(rest), part)
    whole.put(rest, part)
    assert isinstance(whole, ExternalState) and whole.workers[0] is part.workers[1]
    torch.testing.assert_close(whole.u[rest], part.u)
    solver.close(whole)
    assert_no_threads()


def test_foreign_convergence_ends_an_image(tiny_prior, problem):
    result = fs.solve(fs.Analysis(problem, tiny_prior), "scipy:L-BFGS-B", ftol=1e-3, rtol=None)
    assert result.status == ["converged"] * 3
    # The iteration at which SciPy stops is its last iterate, not one more.
    assert all(result.trace["step"][k, i] > 0 for i, k in enumerate(result.iterations))


def test_the_command_line_takes_and_lists_them(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.full((3, 64, 64), 0.5, dtype=np.float32))
    out = tmp_path / "out"
    arguments = ["--task", "denoise", "--max-iter", "2", "--out", str(out), "--json"]
    assert main(["solve", str(tmp_path / "x.npy"), *arguments, "--solver", "scipy:L-BFGS-B"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["show", str(out / "run.h5")]) == 0
    assert "scipy:L-BFGS-B" in capsys.readouterr().out
    assert main(["list", "solvers"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in KINDS)


def test_a_product_that_is_not_finite_ends_its_image_at_once(tiny_prior, problem, monkeypatch):
    bridge = sys.modules["flowsolve.solvers.external.bridge"]

    def spoilt(objective, u, v):
        product = hessian_product(objective, u, v)
        product[objective.indices == 1] = math.nan
        return product

    monkeypatch.setattr(bridge, "hessian_product", spoilt)
    result = fs.solve(fs.Analysis(problem, tiny_prior), "scipy:Newton-CG", max_iter=2, rtol=None)
    assert result.status == ["max_iter", "stalled", "max_iter"]
    assert result.counts["evaluations"][1] == 3
    assert_no_threads()
