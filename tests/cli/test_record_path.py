"""Commands about a record take the folder of its run."""

import pytest

from flowsolve.cli import main
from flowsolve.cli.record_path import records_in, the_record
from flowsolve.errors import ArgumentError


def test_a_folder_stands_for_its_records(tmp_path):
    assert records_in(tmp_path / "a.h5") == [tmp_path / "a.h5"]
    with pytest.raises(ArgumentError, match=r"without run\.h5"):
        the_record(tmp_path)
    for name in ("run-8x8.h5", "run-4x4.h5"):
        (tmp_path / name).write_text("")
    with pytest.raises(ArgumentError, match=r"2 records; accepted: one of run-4x4\.h5, run-8x8\.h5"):
        the_record(tmp_path)
    (tmp_path / "run.h5").write_text("")
    assert the_record(tmp_path) == tmp_path / "run.h5"


def test_show_watch_compare_rerun_and_export_take_the_folder(solve, tmp_path, prior_file, capsys):
    code, _, err = solve("--out", tmp_path / "run", "--solver", "adam", "--no-baselines")
    assert code == 0, err
    for words in (["show"], ["watch", "--once"], ["compare"], ["rerun", "--prior", prior_file]):
        assert main([str(word) for word in (words[0], tmp_path / "run", *words[1:])]) == 0
    code = main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "files"), "--dtype-out", "float32"])
    assert code == 0
    names = sorted(p.name for p in (tmp_path / "files" / "restored").iterdir())
    assert names == ["photo0.tiff", "photo1.tiff", "photo2.tiff"]
    rows = (tmp_path / "files" / "curves.csv").read_text().splitlines()
    assert rows[0].startswith("iteration,image,") and "psnr" in rows[0] and len(rows) == 1 + 3 * 4
    assert (tmp_path / "files" / "figure.png").stat().st_size > 1000


def test_resume_goes_on_with_a_finished_run_and_writes_what_solve_does(solve, tmp_path, prior_file, capsys):
    import json

    import numpy as np

    import flowsolve as fs
    from flowsolve.images import read_each

    out = tmp_path / "run"
    code, _, err = solve("--out", out, "--solver", "adam", "--lam", "0.3map", "--sigma", "0.05")
    assert code == 0, err
    before = json.loads((out / "summary.json").read_text())
    for file in (out / "restored").iterdir():
        file.unlink()
    words = ["resume", out, "--prior", prior_file, "--max-iter", 3]
    assert main([str(word) for word in words]) == 2
    assert "more than the 3 iterations" in capsys.readouterr().err
    assert main([str(word) for word in (*words[:-1], 8)]) == 0
    record = fs.open_run(out / "run.h5")
    assert record.status == "finished" and record.trace["iteration"][-1] == 8
    for name, x in zip(("photo0", "photo1", "photo2"), record.best["x"], strict=True):
        (found,) = read_each([out / "restored" / f"{name}.png"])
        np.testing.assert_allclose(found.x, np.clip(x, 0, 1), atol=0.51 / 255)
    after = json.loads((out / "summary.json").read_text())
    assert after["psnr_mean"] != before["psnr_mean"]
    assert [image["source"] for image in after["images"]] == [image["source"] for image in before["images"]]
    np.testing.assert_allclose(after["psnr_mean"], fs.psnr(record.best["x"], record.problem["x_true"]).mean())


def test_a_run_starts_where_another_ended_or_from_images(solve, tmp_path):
    import flowsolve as fs

    options = ("--solver", "adam", "--sigma", "0.05", "--no-baselines", "--lam", "0.01")
    assert solve("--out", tmp_path / "a", *options)[0] == 0
    value = fs.open_run(tmp_path / "a" / "run.h5").best["value"]
    for name, init in (("b", tmp_path / "a"), ("c", tmp_path / "a" / "run.h5")):
        code, _, err = solve("--out", tmp_path / name, "--init", init, *options)
        assert code == 0, err
        assert fs.open_run(tmp_path / name / "run.h5").trace["value"][0] == pytest.approx(value, rel=1e-4)
    code, _, err = solve(
        "--out", tmp_path / "d", "--init", tmp_path / "a" / "restored" / "photo0.png", *options
    )
    assert code == 0, err
    code, _, err = solve("--out", tmp_path / "e", "--init", tmp_path / "none.png", *options)
    assert code == 2 and "none.png" in err and not (tmp_path / "e").exists()
