"""Problems that no row has: what they are, and gains over the best classical restoration."""

import numpy as np
import pytest
from helpers import make_problem

import flowsolve as fs
from benchmarks import unseen_problems
from benchmarks.paper_rows import PAPER_ROWS
from flowsolve import baselines
from flowsolve.operators import Identity


def test_none_is_a_row():
    def about(task):
        return task.operator(1, 0).config(), task.sigma

    rows = [about(row.task) for name, row in PAPER_ROWS.items() if not name.startswith("cs-")]
    for name, task in unseen_problems.PROBLEMS.items():
        # Random projections of these sizes are drawn in seconds; that of 1000 has another noise than the row.
        if not name.startswith("projection"):
            assert about(task) not in rows
    assert len({task.title for task in unseen_problems.PROBLEMS.values()}) == 23


def test_gains_are_over_the_best_classical_restoration(tiny_prior):
    problem = make_problem(Identity((3, 8, 8)), sigma=0.1)
    entry = unseen_problems.measure(problem, tiny_prior, batch=2, max_iter=3)
    found = {
        name: fs.psnr(restore(problem), problem.x_true)
        for name, restore in baselines.suited_baselines(problem).items()
    }
    best = max(found, key=lambda name: found[name].mean())
    assert entry["best_classical"] == best
    untold = fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)
    parts = [fs.restore(untold.select(part), tiny_prior, max_iter=3).x for part in ([0, 1], [2])]
    auto = np.concatenate([fs.psnr(x, problem.x_true[k : k + 2]) for k, x in zip((0, 2), parts, strict=True)])
    np.testing.assert_allclose(unseen_problems.gains(entry), auto - found[best], atol=1e-4)


def test_page_has_mean_and_least_gain():
    entry = {
        "auto": [30.0, 27.0],
        "classical": {"a": [28.0, 28.0], "b": [29.0, 20.0]},
        "best_classical": "a",
        "cpu_seconds": 1.5,
        "fallbacks": 1,
        "reason": "because",
    }
    lines = unseen_problems.report({"sr8": entry}, "tiny").splitlines()
    cells = [cell.strip() for cell in next(line for line in lines if "SR×8" in line).split("|")[1:-1]]
    assert cells[1:7] == ["2", "28.00 (a)", "28.50", "+0.50", "-1.00", "1.50"]
    assert cells[7] == "because (1 images: the classical start)"
    assert "Mean gain of 1 problems: +0.50 dB" in lines[-1]


@pytest.mark.parametrize("name", ["motion-9", "missing-30", "fourier-4", "mosaic"])
def test_operators_can_be_made(name):
    operator = unseen_problems.PROBLEMS[name].operator(2, 0)
    assert operator.dim_shape == unseen_problems.SHAPE and operator.n_images in (None, 2)
