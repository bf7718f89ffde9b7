import json
import shutil

import numpy as np
import pytest
from study_records import make_cell, run_cell

import flowsolve as fs
from flowsolve.errors import ArgumentError, RecordError
from flowsolve.studies.index import MEASUREMENT, read_index
from flowsolve.studies.rows import COLUMNS


def test_runs_failures_and_waiting_cells_of_a_study(small_index):
    assert len(small_index.runs) == 8 and len(small_index.table) == 16
    assert [cause["error"] for cause in small_index.failed] == ["UnsupportedError"]
    assert small_index.failed[0]["parameters"]["solver"] == "momentum"
    assert [cell["solver"] for cell in small_index.waiting] == ["nonlinear_cg"]
    assert list(small_index.table.columns) == list(COLUMNS)
    assert {name: str(kind) for name, kind in small_index.table.dtypes.items()} == COLUMNS


def test_rows_say_what_the_record_says(small_index):
    entry = small_index.run("analysis-lbfgs-zeros-map-s0-00000000")
    record = fs.open_run(entry.path)
    rows = small_index.table[small_index.table["run"] == entry.id]
    best, images = record.best, np.arange(2)
    np.testing.assert_allclose(rows["value"], best["value"])
    np.testing.assert_allclose(rows["psnr"], record.trace["psnr"][best["iteration"], images])
    np.testing.assert_allclose(rows["psnr_peak"], record.trace["psnr"].max(0))
    np.testing.assert_allclose(rows["z_norm"], np.linalg.norm(best["z"], axis=1))
    np.testing.assert_allclose(rows["value_final"], record.trace["value"][-1])
    np.testing.assert_array_equal(rows["passes"], (record.trace["E"] + record.trace["vjp_E"])[-1])
    assert rows["image"].tolist() == ["a", "b"] and rows["status"].tolist() == ["max_iter"] * 2
    assert rows["iterations"].tolist() == [6, 6] and set(rows["run_status"]) == {"finished"}
    assert rows["lam"].tolist() == [0.05**2 / 2] * 2 and set(rows["lam_given"]) == {"map"}
    assert entry.trace["value"].shape == (7, 2) and entry.final["z"].shape[0] == 2


def test_problems_are_rows_of_one_objective_and_measurements_of_one_image(small_index):
    problems = list(small_index.problems())
    # Two images at three weights; at the MAP weight two solvers from three starts.
    assert sorted(len(rows) for _, rows in problems) == [1, 1, 1, 1, 6, 6]
    assert all(rows["image"].nunique() == 1 for _, rows in problems)
    assert [len(rows) for _, rows in small_index.problems(MEASUREMENT)] == [8, 8]


def test_other_noise_is_another_problem(tiny_prior, small_study, tmp_path):
    shutil.copy(small_study / "runs" / "analysis-adam-zeros-map-s0-00000000.h5", tmp_path / "a.h5")
    from helpers import make_problem

    fs.solve(fs.Analysis(make_problem(n=2, seed=9), tiny_prior), "adam", max_iter=2, record=tmp_path / "b.h5")
    index = read_index([tmp_path])
    assert len(list(index.problems())) == 4


def test_records_without_a_plan_speak_for_themselves(small_study, tmp_path):
    record = small_study / "runs" / "analysis-adam-random-map-s1-00000000.h5"
    (entry,) = read_index([record]).runs
    parameters = entry.parameters
    assert parameters["task"] == "inpaint-random" and parameters["solver"] == "adam"
    assert parameters["start"] == "random" and parameters["seed"] == 1 and entry.images == ["0", "1"]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(record, tmp_path / folder / "run.h5")
    names = ["first", "second"]
    summary = {"task": "mine", "images": [{"name": name} for name in names]}
    (tmp_path / "one" / "summary.json").write_text(json.dumps(summary))
    first, second = read_index([tmp_path]).runs
    assert (first.id, first.parameters["task"], first.images) == ("one", "mine", names)
    assert (second.id, second.parameters["task"]) == ("two", "inpaint-random")


def test_files_of_one_name_are_told_apart(small_study, tmp_path):
    record = small_study / "runs" / "analysis-adam-zeros-map-s0-00000000.h5"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(record, tmp_path / folder / "same.h5")
    index = read_index([tmp_path, tmp_path / "one"])
    assert [entry.id for entry in index.runs] == ["same", "same~2"]
    assert index.table["run"].tolist() == ["same"] * 2 + ["same~2"] * 2


def test_a_damaged_record_of_a_folder_is_a_failure_and_of_its_own_name_an_error(small_study, tmp_path):
    good = small_study / "runs" / "analysis-adam-zeros-map-s0-00000000.h5"
    shutil.copy(good, tmp_path / "good.h5")
    (tmp_path / "bad.h5").write_bytes(good.read_bytes()[:3000])
    index = read_index([tmp_path])
    assert [entry.id for entry in index.runs] == ["good"]
    assert index.failed[0]["cell"] == "bad" and index.failed[0]["error"] == "RecordError"
    with pytest.raises(RecordError, match="cut short or damaged"):
        read_index([tmp_path / "bad.h5"])


def test_a_plan_that_names_other_images_is_a_failure(small_study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(small_study, folder)
    plan = json.loads((folder / "plan.json").read_text())
    plan["cells"][0]["images"] = ["a", "b", "c"]
    (folder / "plan.json").write_text(json.dumps(plan))
    index = read_index([folder])
    assert len(index.runs) == 7 and "has 2 images; the plan says 3" in index.failed[-1]["message"]


def test_a_run_that_goes_on_is_read_as_far_as_it_is(tiny_prior, problem, tmp_path):
    run = fs.Run(
        fs.Analysis(problem, tiny_prior),
        fs.solvers.make_solver("adam"),
        "zeros",
        limits={"max_iter": 4, "max_evaluations": None, "max_seconds": None, "rtol": None},
    )
    run.record_to(tmp_path / "run.h5", flush_seconds=0.0)
    index = None
    with run:
        for progress in run:
            if progress.iteration == 3:
                index = read_index([tmp_path])
    assert index.table["run_status"].tolist() == ["running"] * 3
    assert index.table["status"].tolist() == ["running"] * 3
    assert index.table["value"].notna().all() and index.table["z_norm"].isna().all()
    again = read_index([tmp_path], previous=index)
    assert again.table["run_status"].tolist() == ["finished"] * 3
    assert again.table["iterations"].tolist() == [4] * 3


def test_unchanged_records_are_not_read_again(small_study, tiny_prior, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    shutil.copytree(small_study, folder)
    index = read_index([folder])
    run_cell(make_cell("nonlinear_cg"), tiny_prior, folder / "runs" / f"{make_cell('nonlinear_cg')['id']}.h5")
    opened = []
    original = fs.open_run
    monkeypatch.setattr(
        "flowsolve.studies.index.open_run", lambda path: opened.append(path.stem) or original(path)
    )
    again = read_index([folder], previous=index)
    assert opened == [make_cell("nonlinear_cg")["id"]] and len(again.runs) == 9 and again.waiting == []


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"paths: got .*nothing, which is not there"):
        read_index([tmp_path / "nothing"])
    with pytest.raises(ArgumentError, match="one or more folders or records"):
        read_index([])
    with pytest.raises(ArgumentError, match="in a list"):
        read_index(str(tmp_path))
    for text in ("{", "[]", '{"schema": 7, "cells": []}'):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(RecordError, match=r"plan\.json is not"):
            read_index([tmp_path])


def test_an_empty_folder_has_an_empty_table(tmp_path):
    index = read_index([tmp_path])
    assert index.runs == [] and len(index.table) == 0 and list(index.problems()) == []
