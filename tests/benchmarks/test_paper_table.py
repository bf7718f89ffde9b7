"""The table: rows have what they name, methods give rows, and a run goes on where one was killed."""

import json

import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from benchmarks import paper_table, tune_faces
from benchmarks.configurations import MEAN, Stage
from benchmarks.paper_rows import PAPER_ROWS, classical
from flowsolve import baselines, presets


def test_rows_name_registered_baselines_and_protocols():
    assert len(PAPER_ROWS) == 22
    for row in PAPER_ROWS.values():
        assert all(name == MEAN or name in baselines.registry for name in row.classical)
        for preset, task, formulation in row.protocols:
            presets.registry.get(preset).protocol(task, formulation)


@pytest.mark.parametrize("row", ["deblur-0", "sr4-0", "random-0", "box-0"])
def test_rows_without_noise_are_the_protocols_problems(row):
    task = PAPER_ROWS[row].task
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    problem = presets.registry.get("oberlin-verm-2021").problem(task.preset, x)
    torch.testing.assert_close(task.problem(x).y, problem.y)
    assert task.problem(x).sigma == 0


def test_the_mean_image_shows_in_the_holes_alone():
    problem = make_problem(sigma=0.0)
    mean = torch.full((3, 8, 8), 0.25, dtype=torch.float64)
    x = classical(MEAN, problem, mean)
    torch.testing.assert_close(problem.operator.apply(x), problem.y)
    assert (x == 0.25).any()


def test_measured_entries_and_their_digests(tiny_prior):
    problem = make_problem()
    method = paper_table.classical_method("harmonic", None, 2)
    entry, x = paper_table.measure(method, problem)
    assert len(entry["psnr"]) == len(entry["ssim"]) == len(x) == 2
    np.testing.assert_allclose(entry["psnr"], fs.psnr(x, problem.x_true[:2]))
    other = paper_table.classical_method("harmonic", None, 3)
    assert paper_table.digest(method) != paper_table.digest(other)


def test_report_shows_what_there_is(tiny_prior):
    entry = {"psnr": [20.0, 22.0], "ssim": [0.5, 0.7], "evaluations": [3, 3], "seconds": 0.5, "images": 2}
    stages = [{"formulation": "analysis", "factor": 1.0}]
    figures = {
        "harmonic": entry,
        "oberlin-verm-2021 analysis": {**entry, "psnr": [18.0], "images": 1, "seconds": 5.0},
        "ours": {**entry, "psnr": [24.0, 26.0], "stages": stages},
    }
    text = paper_table.report({"box-0.01": figures}, "tiny")
    assert "21.00 ± 1.00 (harmonic)" in text and "25.00 ± 1.00" in text and "(first 1)" in text
    assert "+4.00" in text and "+6.00 (10.0 x our time)" in text


def test_tuner_freezes_the_peak(tiny_prior):
    problem, known = make_problem(), {}
    tuner = tune_faces.Tuner(problem, tiny_prior, {}, 10, known)
    trials = tune_faces.tune(["zeros"], tuner, 4, 3)
    labels = [trial.configuration.label() for trial in trials]
    assert any("put back" in label for label in labels) and any("then analysis" in label for label in labels)
    best = max(trials, key=lambda t: t.best)
    x = best.configuration.restore(problem, tiny_prior).x
    assert fs.psnr(x, problem.x_true).mean() == pytest.approx(best.best, abs=1e-3)
    again = tune_faces.Tuner(problem, tiny_prior, {}, 10, json.loads(json.dumps(known)))
    assert again.try_out(*trials[0].stages).best == pytest.approx(trials[0].best, abs=1e-3)
    assert "Candidates tried" in tune_faces.page({"box-0.01": known})
    # Latents that restore worse than a classical restoration are no start.
    direct = tune_faces.tune(["harmonic"], tuner, 4, 3, phis=("smoothed",))
    assert not any(len(trial.stages) > 1 for trial in direct)
    # A start that is iterated is tried with fewer iterations, where it is the best.
    iterated = tune_faces.tune(["total-variation"], tuner, 1, 3, phis=("smoothed",))
    tried = [t.stages[0].init_options.get("iterations") for t in iterated]
    assert [n for n in tried if n] == list(tune_faces.START_ITERATIONS)


def test_candidates_without_noise_use_numbers_and_the_constraint():
    problem = make_problem(sigma=0.0)
    assert all(stage.lam and stage.put_back for stage in tune_faces.latents(problem, 5))
    plain, smoothed = tune_faces.over_images(problem, "harmonic", 5)
    assert plain == Stage("analysis", "nll", init="harmonic", max_iter=5)
    assert (smoothed.phi, smoothed.solver, smoothed.lam, smoothed.factor) == ("smoothed", "adam", None, None)
    assert smoothed.max_iter == smoothed.options["horizon"]
