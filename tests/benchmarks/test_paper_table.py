"""The table: rows have what they name, methods give rows, and a run goes on where one was killed."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from benchmarks import paper_table, tune_faces
from benchmarks.paper_rows import MEAN, PAPER_ROWS, classical
from flowsolve import baselines, presets
from flowsolve.methods import Method, Stage, plan_method
from flowsolve.operators import Identity


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
    column = paper_table.classical_column("harmonic", None, 2)
    entry, x = paper_table.measure(column, problem)
    assert len(entry["psnr"]) == len(entry["ssim"]) == len(x) == 2
    np.testing.assert_allclose(entry["psnr"], fs.psnr(x, problem.x_true[:2]))
    other = paper_table.classical_column("harmonic", None, 3)
    assert paper_table.digest(column) != paper_table.digest(other)


def test_ours_is_the_plain_call(tiny_prior, monkeypatch):
    monkeypatch.setattr(paper_table, "BATCH", 2)
    problem = make_problem(Identity((3, 8, 8)))
    options = SimpleNamespace(images=3, seed_images=0, no_protocols=True, max_iter=4)
    tuned = Method("frozen", (Stage(map_factor=0.5, init="total-variation", max_iter=3),))
    row = PAPER_ROWS["denoise-0.05"]
    columns = paper_table.columns(row, tuned, problem, tiny_prior, torch.zeros(3, 8, 8), options)
    assert list(columns) == [*row.classical, "ours", "frozen"]
    entry, x = paper_table.measure(columns["ours"], problem)
    untold = fs.InverseProblem(problem.operator, problem.y, sigma=problem.sigma)
    parts = [untold.select(part) for part in ([0, 1], [2])]
    torch.testing.assert_close(x, torch.cat([fs.restore(part, tiny_prior, max_iter=4).x for part in parts]))
    assert entry["reason"] == plan_method("auto", untold, tiny_prior).reason and entry["cpu_seconds"] > 0
    # Another choice of `auto` is measured anew.
    other = tuned.shortened(2)
    digests = {
        paper_table.digest(paper_table.method_column("auto", m, tiny_prior, 3, 4)) for m in (tuned, other)
    }
    assert len(digests) == 2
    tuned_x = paper_table.measure(columns["frozen"], problem)[1]
    torch.testing.assert_close(tuned_x, torch.cat([fs.restore(part, tiny_prior, tuned).x for part in parts]))


def test_protocols_are_left_out_when_asked(tiny_prior):
    options = SimpleNamespace(images=3, seed_images=2, no_protocols=False, max_iter=4)
    args = (PAPER_ROWS["box-0"], None, make_problem(), tiny_prior, None)
    assert "oberlin-verm-2021 analysis" in paper_table.columns(*args, options)
    options.no_protocols = True
    assert not any(column.serial for column in paper_table.columns(*args, options).values())


def _small_row(monkeypatch, prior, problem, out, *arguments):
    """Run the table on a row whose problem is `problem`, and return what was measured and the saved rows."""
    measured, measure = [], paper_table.measure

    def noted(column, problem):
        measured.append(column.settings)
        return measure(column, problem)

    row = replace(PAPER_ROWS["denoise-0.05"], task=SimpleNamespace(problem=lambda x: problem, title="small"))
    monkeypatch.setitem(paper_table.PAPER_ROWS, "denoise-0.05", row)
    monkeypatch.setattr(paper_table, "faces", lambda *_: problem.x_true)
    monkeypatch.setattr(paper_table, "mean_face", lambda _: problem.x_true[0])
    monkeypatch.setattr(paper_table.fs, "load_prior", lambda _: prior)
    with monkeypatch.context() as patch:
        patch.setattr(paper_table, "measure", noted)
        arguments = [
            "--row",
            "denoise-0.05",
            "--no-protocols",
            "--max-iter",
            "2",
            "--threads",
            "1",
            *arguments,
        ]
        paper_table.main([*arguments, "--configs", str(out / "none.json"), "--out", str(out)])
    return len(measured), json.loads((out / "paper_table.json").read_text())["rows"]["denoise-0.05"]


def test_only_what_is_missing_is_measured(tiny_prior, monkeypatch, tmp_path, capsys):
    problem = make_problem(Identity((3, 8, 8)))
    count, rows = _small_row(monkeypatch, tiny_prior, problem, tmp_path)
    assert count == 3 and set(rows) == {"total-variation", "non-local-means", "ours"}
    saved = tmp_path / "paper_table.json"
    document = json.loads(saved.read_text())
    del document["rows"]["denoise-0.05"]["non-local-means"]
    document["rows"]["denoise-0.05"]["total-variation"]["seconds"] = 77.0
    saved.write_text(json.dumps(document))
    count, rows = _small_row(monkeypatch, tiny_prior, problem, tmp_path, "--missing")
    assert count == 1 and "non-local-means" in rows and rows["total-variation"]["seconds"] == 77.0
    count, rows = _small_row(monkeypatch, tiny_prior, problem, tmp_path)
    assert count == 3 and rows["total-variation"]["seconds"] != 77.0
    assert "no method in" in capsys.readouterr().err


def test_report_shows_what_there_is(tiny_prior):
    entry = {"psnr": [20.0, 22.0], "ssim": [0.5, 0.7], "evaluations": [3, 3], "seconds": 0.5, "images": 2}
    stages = [{"map_factor": 1.0, "init": "harmonic"}]
    ours = {"psnr": [19.0, 26.0], "stages": stages, "cpu_seconds": 0.75, "reason": "because", "fallbacks": 1}
    figures = {
        "harmonic": entry,
        "total-variation": {**entry, "psnr": [24.0, 10.0]},
        "oberlin-verm-2021 analysis": {**entry, "psnr": [18.0], "images": 1, "seconds": 5.0},
        "ours": {**entry, **ours},
        "frozen": {**entry, "psnr": [24.0, 24.0], "stages": stages},
    }
    text = paper_table.report({"box-0.01": figures}, "tiny")
    cells = [cell.strip() for cell in text.splitlines()[6].split("|")[1:-1]]
    assert cells[1] == "21.00 ± 1.00 (harmonic)" and cells[3] == "18.00 ± 0.00 (first 1)"
    assert cells[5:10] == ["22.50 ± 3.50", "24.00 ± 0.00", "-1.50", "+1.50", "50 %"]
    assert cells[10:13] == ["+1.00 (10.0 x our time)", "3", "0.75"]
    assert "because" in text and "1 of 2 images are the classical start" in text


def test_tuner_freezes_the_peak(tiny_prior):
    problem, known = make_problem(), {}
    tuner = tune_faces.Tuner(problem, tiny_prior, 10, known)
    trials = tune_faces.tune("zeros", tuner, 4, 3)
    labels = [found["label"] for found in known.values()]
    assert any("put back" in label for label in labels)
    assert any("then 2. over images" in label for label in labels)
    best = max(trials, key=lambda t: t.best)
    x = fs.restore(problem, tiny_prior, best.method).x
    assert fs.psnr(x, problem.x_true).mean() == pytest.approx(best.best, abs=1e-3)
    again = tune_faces.Tuner(problem, tiny_prior, 10, json.loads(json.dumps(known)))
    assert again.try_out(*trials[0].stages).best == pytest.approx(trials[0].best, abs=1e-3)
    assert "Candidates tried" in tune_faces.page({"box-0.01": known})
    # Latents that restore worse than a classical restoration are no start.
    direct = tune_faces.tune("harmonic", tuner, 4, 3, phis=("smoothed",))
    assert not any(len(trial.stages) > 1 for trial in direct)
    # A start that is iterated is tried with fewer iterations, where it is the best.
    iterated = tune_faces.tune("total-variation", tuner, 1, 3, phis=("smoothed",))
    tried = [t.stages[0].init_options.get("iterations") for t in iterated]
    assert [n for n in tried if n] == list(tune_faces.START_ITERATIONS)


def test_candidates_without_noise_use_numbers_and_the_constraint():
    problem = make_problem(sigma=0.0)
    assert all(stage.lam and stage.put_back for stage in tune_faces.latents(problem, 5))
    plain, smoothed = tune_faces.over_images(problem, "harmonic", 5)
    assert plain == Stage("analysis", "nll", init="harmonic", max_iter=5)
    assert (smoothed.phi, smoothed.solver, smoothed.lam, smoothed.map_factor) == (
        "smoothed",
        "adam",
        None,
        None,
    )
    assert smoothed.max_iter == smoothed.options["horizon"]
