"""The other benchmarks' parts: tests of pairs, transforms, rows, and the page of all results."""

import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from benchmarks import all as everything
from benchmarks import analysis_or_synthesis, initialisation, natural, peers, reporting
from benchmarks.wavelets import haar, wavelet_lasso
from flowsolve.operators import RandomProjection
from flowsolve.solvers import make_solver


def test_haar_is_orthonormal():
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    c = haar(x)
    torch.testing.assert_close(haar(c, inverse=True), x)
    torch.testing.assert_close(c.square().sum(), x.square().sum())
    constant = haar(torch.ones(1, 8, 8, dtype=torch.float64))
    assert constant[0, 0, 0] == pytest.approx(8.0) and constant.abs().sum() == pytest.approx(8.0)


def test_lasso_lowers_its_objective():
    problem = make_problem(RandomProjection(120, (3, 8, 8), seed=0), sigma=0.01)

    def value(x):
        data = (problem.operator.apply(x) - problem.y).square().sum() / 2
        return data + 0.01 * haar(x).abs().sum()

    short, long = (wavelet_lasso(problem, 0.01, n) for n in (10, 300))
    assert value(long) < value(short) < value(torch.zeros_like(short))


def test_paired_differences():
    a, b = np.array([3.0, 2.0, 4.0, 5.0, 6.0, 7.0]), np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    found = analysis_or_synthesis.paired(a, b)
    assert found["effect"] == 1.0 and found["difference"] == 3.5 and found["p"] == pytest.approx(2 / 64)
    assert analysis_or_synthesis.paired(a, a) == {"difference": 0.0, "p": 1.0, "effect": 0.0}
    assert analysis_or_synthesis.paired(b, a)["effect"] == -1.0


def test_values_at_equal_cost():
    trace = {"evaluations": np.array([[1, 1], [3, 2], [6, 4]]), "psnr": np.array([[1.0, 2], [3, 4], [5, 6]])}
    np.testing.assert_array_equal(analysis_or_synthesis.at_cost(trace, "psnr", 4), [3, 6])
    np.testing.assert_array_equal(analysis_or_synthesis.at_cost(trace, "psnr", 0), [1, 2])


def test_both_formulations_start_at_the_same_value(tiny_prior):
    problem = make_problem()
    for phi in analysis_or_synthesis.PHIS:
        values = []
        for formulation in ("analysis", "synthesis"):
            objective = analysis_or_synthesis.FORMULATIONS[formulation](
                problem, tiny_prior, phi=phi, lam=1e-3
            )
            values.append(fs.solve(objective, "adam", "zeros", max_iter=1).trace["value"][0])
        np.testing.assert_allclose(*values, rtol=1e-9)


def test_rows_of_starts(tiny_prior):
    problem = make_problem(RandomProjection(100, (3, 8, 8), seed=0), sigma=0.01)
    rows = []
    for start in (initialisation.scaled(0.1), initialisation.null_space):
        made = start(problem, tiny_prior)
        objective = fs.Synthesis(problem, tiny_prior, lam=1e-4)
        found = initialisation.measure(objective, "lbfgs", {}, made, 3)
        rows.append({"task": "deblur", "lam": 1e-4, "start": made.name, "solver": "lbfgs", **found})
    glowip = [{**row, "printed": None} for row in rows]
    assert "null-space" in initialisation.report(rows, glowip)
    moved = initialisation.null_space(problem, tiny_prior).x
    torch.testing.assert_close(problem.operator.apply(moved), problem.operator.apply(problem.x_true))


def test_solvers_of_the_peers_exist():
    for name, options in (peers.OURS | peers.OTHERS).values():
        make_solver(name, **options)
    assert set(peers.STARTS) <= set(peers.FACE_TASKS)


def test_a_peer_gives_a_row(tiny_prior):
    objective = peers.objective_of("synthesis", make_problem(), tiny_prior)
    row = peers.measure("SciPy L-BFGS-B", objective, "zeros", 5)
    assert len(row["value"]) == len(row["psnr"]) == 3 and row["evaluations"].max() <= 6
    shown = peers.report([{"task": "deblur", "formulation": "synthesis", "solver": "x", **row}], {"a": "1"})
    assert "| deblur | synthesis | x |" in shown


def test_photographs_are_chosen_on_and_measured(monkeypatch):
    prior = fs.load_prior("natural")
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    task = natural.TASKS["sr2-0.01"]
    monkeypatch.setattr(natural, "TV_WEIGHTS", (0.1, 1.0))
    monkeypatch.setattr(natural, "LAM_FACTORS", {"nll": (0.5, 1.0), "smoothed": (0.2,)})
    chosen, tried = natural.choose(task, [x], prior, 2)
    assert 1 <= chosen.iterations <= 2
    assert [entry[:2] for entry in tried["prior"]] == [["nll", 0.5], ["nll", 1.0], ["smoothed", 0.2]]
    assert max(tried["prior"], key=lambda entry: entry[3])[:3] == [
        chosen.phi,
        chosen.lam_factor,
        chosen.iterations,
    ]
    methods = natural.measure(task, [x[:1]], prior, chosen, None, 2)
    assert set(methods) == {"total-variation", "back-projection", "auto", "flow (natural)"}
    few = natural.measure(task, [x[:1]], prior, chosen.tv_weight, None, 2)
    assert set(few) == set(methods) - {"flow (natural)"} and few["auto"]["psnr"] == methods["auto"]["psnr"]
    text = natural.report({"sr2-0.01": {"chosen": {"tv_weight": 0.1}, "methods": few, "by": "me"}})
    assert few["auto"]["reason"] in text
    assert "SR×2" in natural.report({"sr2-0.01": {"chosen": vars(chosen), "methods": methods, "by": "me"}})


def test_page_of_all_results(tmp_path):
    large, small = tmp_path / "results", tmp_path / "results" / "bench"
    small.mkdir(parents=True)
    (large / "peers.md").write_text("# Peers\n\n![curve](peers.png)\n")
    (small / "peers.md").write_text("# Few peers\n")
    (small / "other.md").write_text("| a |\n\n![b](b.png)\n")
    everything.build([small, large], tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## Peers" in page and "](results/peers.png)" in page and "Few" not in page
    assert "## other" in page and "](results/bench/b.png)" in page
    assert sum(size.minutes for size in everything.SIZES.values()) <= 45


def test_commands_without_paths(monkeypatch):
    arguments = ["x/peers.py", "--data", "/a", "--images", "2", "--peer-python", "deepinv=/b", "--out=/c"]
    monkeypatch.setattr("sys.argv", arguments)
    assert reporting.environment(1)["command"] == "python -m benchmarks.peers --images 2"
