"""Metrics beside PSNR, from the traces of runs to tables, reports and studies."""

import json

import numpy as np

import flowsolve as fs
from flowsolve.cli import main
from flowsolve.report.data import report_data
from flowsolve.studies.index import read_index
from flowsolve.studies.planning import make_plan


def test_a_metric_of_the_trace_is_in_table_and_report(problem, tiny_prior, tmp_path, capsys):
    objective = fs.Analysis(problem, tiny_prior)
    for solver in ("lbfgs", "adam"):
        record = tmp_path / f"{solver}.h5"
        result = fs.solve(objective, solver, max_iter=3, metrics=["psnr", "ssim"], record=record)
    fs.solve(objective, "gradient_descent", max_iter=2, record=tmp_path / "other.h5")
    index = read_index([tmp_path])
    table = index.table.set_index("run")
    assert {"ssim", "ssim_start", "ssim_peak", "ssim_final"} <= set(table)
    np.testing.assert_allclose(table.loc["adam", "ssim_final"], result.trace["ssim"][-1])
    np.testing.assert_allclose(table.loc["adam", "ssim_peak"], result.trace["ssim"].max(0))
    assert table.loc["other", "ssim"].isna().all() and not table.loc["other", "psnr"].isna().any()
    data = report_data(index, title="t")
    assert data["metrics"] == [{"name": "ssim", "unit": "", "better": "higher"}]
    assert data["curves"]["columns"][-1] == "ssim" and "ssim_peak" in data["rows"]["numbers"]
    json.dumps(data, allow_nan=False)
    assert main(["show", str(tmp_path / "adam.h5")]) == 0
    assert "ssim" in capsys.readouterr().out


def test_runs_without_further_metrics_are_as_they_were(problem, tiny_prior, tmp_path):
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=1, record=tmp_path / "a.h5")
    data = report_data(read_index([tmp_path]), title="t")
    assert data["metrics"] == [] and data["curves"]["columns"][-1] == "grad_norm"


def test_on_the_command_line_and_in_a_study(tmp_path, prior_file, photographs, capsys):
    words = ["solve", photographs, "--task", "denoise", "--metric", "ssim", "--prior", prior_file]
    words += ["--max-iter", 2, "--out", tmp_path / "run", "--no-baselines", "--json"]
    assert main([str(w) for w in words]) == 0
    assert set(json.loads(capsys.readouterr().out)["metrics"]) == {"psnr", "ssim"}
    assert "ssim" in fs.open_run(tmp_path / "run" / "run.h5").trace
    assert main([str(w) for w in (*words, "--force", "--metric", "sism")]) == 2
    assert "did you mean 'ssim'" in capsys.readouterr().err
    (tmp_path / "study.toml").write_text(
        f'images = "{photographs}"\n[compute]\nmetrics = ["psnr", "ssim"]\nmetric_every = 2\n'
        f'[budget]\nmax_iter = 3\n[[cells]]\ntask = "denoise"\nprior = "{prior_file}"\n'
    )
    assert make_plan(tmp_path / "study.toml").compute["metrics"] == ["psnr", "ssim"]
    assert main(["study", "run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "study")]) == 0
    index = read_index([tmp_path / "study"])
    assert not index.table["ssim"].isna().any()
