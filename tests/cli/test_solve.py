import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import PATIENCE
from PIL import Image

import flowsolve as fs
from flowsolve import initialise
from flowsolve.cli import main

KEYS = [
    "task",
    "sigma",
    "noise",
    "sigma_estimated",
    "method",
    "formulation",
    "phi",
    "lam",
    "solver",
    "init",
    "prior",
    "n_images",
    "psnr_mean",
    "psnr_std",
    "ssim_mean",
    "metrics",
    "baseline",
    "objective_mean",
    "evaluations_mean",
    "iterations_mean",
    "seconds",
    "status",
    "notes",
    "record",
]


def test_a_run_leaves_record_images_figure_and_summary(solve, tmp_path):
    code, out, err = solve("--out", tmp_path / "run", max_iter=5)
    assert code == 0, err
    assert "harmonic" in out and "PSNR" in out
    record = fs.open_run(tmp_path / "run" / "run.h5")
    assert record.status == "finished" and record.method["name"] == "auto"
    assert set(record.baselines) == {"harmonic", "total-variation"} and record.outcome["fallback"] is not None
    restored = sorted((tmp_path / "run" / "restored").iterdir())
    assert [p.name for p in restored] == ["photo0.png", "photo1.png", "photo2.png"]
    assert Image.open(restored[0]).size == (8, 8)
    assert Image.open(tmp_path / "run" / "figure.png").size[0] > 600
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [image["name"] for image in summary["images"]] == ["photo0", "photo1", "photo2"]
    np.testing.assert_allclose(np.mean([image["psnr"] for image in summary["images"]]), summary["psnr_mean"])


@pytest.mark.parametrize("formulation", ["analysis", "synthesis"])
@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("deblur", ["--kernel-size", 3]),
        ("super-resolution", []),
        ("inpaint-random", ["--sigma", 0]),
        ("inpaint-box", ["--box", 3]),
        ("denoise", ["--sigma", 0.05]),
    ],
)
def test_json_is_exactly_one_object(solve, tmp_path, task, options, formulation):
    code, out, err = solve("--json", "--out", tmp_path, "--formulation", formulation, *options, task=task)
    assert code == 0, err
    said = json.loads(out)
    assert list(said) == KEYS
    assert said["n_images"] == 3 and said["task"] == task and said["formulation"] == formulation
    assert said["psnr_mean"] > 5 and all(value > 5 for value in said["baseline"].values())
    assert sum(said["status"].values()) == 3
    assert said["phi"] == {"analysis": "nll", "synthesis": "latent"}[formulation]
    constrained = formulation == "analysis" and said["sigma"] == 0
    assert (said["lam"] is None) == constrained


@pytest.mark.parametrize("solver", ["gradient_descent", "adam", "lbfgs", "forward_backward"])
def test_all_solvers(solve, tmp_path, solver):
    code, out, err = solve(
        "--json", "--solver", solver, "--out", tmp_path, "--lam", "0.01", "--phi", "latent"
    )
    assert code == 0, err
    assert json.loads(out)["lam"] == 0.01


def test_options_of_the_solver_and_the_smoothed_term(solve, tmp_path):
    options = ("--option", "lr=0.5", "--option", "schedule=cosine", "--option", "basis=cosines")
    code, _, err = solve(
        "--solver", "adam", "--out", tmp_path, "--phi", "smoothed", "--lam", "0.01", *options
    )
    assert code == 0, err
    config = fs.open_run(tmp_path / "run.h5").config
    assert config["objective"]["phi"] == "smoothed"
    said = config["solver"]["options"]
    assert (said["lr"], said["schedule"], said["basis"]) == (0.5, "cosine", "cosines")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("rate=1", "option of solver 'adam': got rate; accepted: lr, "),
        ("lr", "KEY=VALUE"),
        ("lr=-1", "lr: got -1"),
    ],
)
def test_bad_options_of_the_solver_leave_no_folder(solve, tmp_path, option, message):
    code, _, err = solve("--solver", "adam", "--option", option, "--out", tmp_path / "run")
    assert code == 2 and message in err and not (tmp_path / "run").exists()


def test_limits_and_seeds(solve, tmp_path):
    def said(name, *options):
        code, out, err = solve("--json", "--out", tmp_path / name, *options, max_iter=50)
        assert code == 0, err
        return json.loads(out)

    first = said("a", "--limit", 2, "--max-evaluations", 4, "--dtype", "float64")
    assert first["n_images"] == 2 and first["status"] == {"max_evaluations": 2}
    again = said("b", "--limit", 2, "--max-evaluations", 4, "--dtype", "float64")
    assert again["psnr_mean"] == first["psnr_mean"]
    other = said("c", "--limit", 2, "--max-evaluations", 4, "--dtype", "float64", "--seed", 1)
    assert other["psnr_mean"] != first["psnr_mean"]


def test_measurements_with_a_mask(solve, tmp_path, photographs):
    mask = np.ones((8, 8), dtype=np.uint8) * 255
    mask[2:5, 3:6] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    scratched = np.array(Image.open(photographs / "photo0.png"))
    scratched[2:5, 3:6] = (255, 0, 255)
    Image.fromarray(scratched).save(tmp_path / "scratched.png")
    code, out, err = solve(
        "--measured", "--mask", tmp_path / "mask.png", "--sigma", 0, "--out", tmp_path / "run", "--json",
        images=[tmp_path / "scratched.png"],
    )  # fmt: skip
    assert code == 0, err
    said = json.loads(out)
    assert said["psnr_mean"] is None and said["ssim_mean"] is None
    assert set(said["baseline"].values()) == {None}
    restored = np.asarray(Image.open(tmp_path / "run/restored/scratched.png")).astype(int)
    known = mask > 0
    assert np.abs(restored - scratched)[known].max() <= 1
    record = fs.open_run(tmp_path / "run" / "run.h5")
    assert "x_true" not in record.problem and (record.problem["y"][0][:, ~known] == 0).all()


def test_measurements_with_a_kernel_and_at_a_lower_resolution(solve, tmp_path, photographs):
    np.save(tmp_path / "kernel.npy", np.ones((1, 3)) / 3)
    options = ["--measured", "--sigma", 0.02, "--json"]
    code, _, err = solve(
        *options, "--kernel", tmp_path / "kernel.npy", "--out", tmp_path / "a", task="deblur"
    )
    assert code == 0, err
    np.save(tmp_path / "y.npy", np.random.default_rng(0).random((2, 3, 4, 4)) * 1.1)
    code, out, err = solve(
        *options, "--out", tmp_path / "b", task="super-resolution", images=[tmp_path / "y.npy"]
    )
    assert code == 0, err
    assert json.loads(out)["n_images"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--task", "sharpen"], "task: "),
        (["--task", "debluring"], "did you mean 'deblur'"),
        (["--solver", "lbfg"], "did you mean 'lbfgs'"),
        (["--init", "harmonics"], "did you mean 'harmonic'"),
        (["--init", "bicubic"], "Downsample"),
        (["--prior", "faces65"], "did you mean 'faces64'"),
        (["--formulation", "both"], "formulation: "),
        (["--phi", "map"], "phi: "),
        (["--lam", "-1"], "lam: "),
        (["--lam", "much"], "lam: "),
        (["--sigma", "-0.1"], "sigma: "),
        (["--sigma", "nan"], "sigma: "),
        (["--sigma", "loud"], "sigma"),
        (["--dtype", "float16"], "dtype: "),
        (["--device", "cuda:99"], "device: "),
        (["--seed", "-1"], "seed: "),
        (["--limit", "0"], "limit: "),
        (["--max-iter", "-1"], "max-iter: "),
        (["--max-evaluations", "0"], "max-evaluations: "),
        (["--max-seconds", "0"], "max-seconds: "),
        (["--threads", "0"], "threads: "),
        (["--missing", "1.0"], "missing: "),
        (["--factor", "2"], "factor: "),
        (["--mask", "nowhere.png"], "mask: "),
        (["--measured"], "sigma: "),
        (["--measured", "--sigma", "0"], "mask: "),
        (["--measured", "--sigma", "0", "--task", "inpaint-box"], "mask: "),
        (["--kernel-scale", "normalise"], "kernel-scale: "),
        (["--nonsense"], "nonsense"),
    ],
)
def test_bad_options_are_one_line_and_touch_nothing(solve, tmp_path, options, said):
    code, out, err = solve("--out", tmp_path / "run", *options)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and said in err and "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_bad_images_are_one_line(solve, tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "foreign.safetensors").write_bytes(b"no weights")
    np.save(tmp_path / "nan.npy", np.full((3, 8, 8), np.nan))
    np.save(tmp_path / "empty.npy", np.zeros((8, 8)))
    for options, images, said in (
        ([], [tmp_path / "wide.png"], "wide.png of 9x8 pixels"),
        ([], [tmp_path / "broken.png"], "broken.png"),
        ([], [tmp_path / "nan.npy"], "NaN"),
        ([], [tmp_path / "gone"], "gone"),
        (["--mask", tmp_path / "empty.npy"], None, "empty mask"),
        (["--prior", tmp_path / "foreign.safetensors"], None, "foreign.safetensors"),
        (["--measured", "--sigma", 0, "--box", 3, "--task", "inpaint-box"], [tmp_path / "wide.png"], "8x8"),
    ):
        code, _, err = solve("--out", tmp_path / "run", *options, images=images)
        assert code == 2 and err.count("\n") == 1 and said in err, err
    assert not (tmp_path / "run").exists()


def test_a_run_is_replaced_only_when_told_and_only_its_own_files(solve, tmp_path):
    assert solve("--out", tmp_path)[0] == 0
    before = (tmp_path / "run.h5").read_bytes()
    code, _, err = solve("--out", tmp_path)
    assert code == 2 and "--force" in err and err.count("\n") == 1
    code, _, err = solve("--out", tmp_path, "--force", "--init", "bicubic")
    assert code == 2
    assert (tmp_path / "run.h5").read_bytes() == before
    (tmp_path / "restored" / "mine.png").write_bytes(b"keep me")
    assert solve("--out", tmp_path, "--force", "--limit", 1)[0] == 0
    names = sorted(p.name for p in (tmp_path / "restored").iterdir())
    assert names == ["mine.png", "photo0.png"]


def test_a_start_that_is_of_no_use_does_not_cost_the_earlier_run(solve, tmp_path, monkeypatch):
    def huge(problem, prior, *, seed):
        return initialise.Start(x=problem.y.new_full((len(problem), 3, 8, 8), 1e300))

    monkeypatch.setitem(initialise.registry._items, "huge", huge)
    assert solve("--out", tmp_path)[0] == 0
    before = (tmp_path / "run.h5").read_bytes()
    code, _, err = solve("--out", tmp_path, "--force", "--init", "huge", "--dtype", "float64")
    assert code == 2 and "not finite" in err and err.count("\n") == 1
    assert (tmp_path / "run.h5").read_bytes() == before


def test_the_output_folder_must_be_a_folder_that_can_be_written_to(solve, tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, err = solve("--out", out)
        assert code == 2 and "out: " in err and err.count("\n") == 1


def test_a_read_only_folder(solve, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    code, _, err = solve("--out", tmp_path)
    assert code == 2 and "Permission denied" in err and err.count("\n") == 1


def test_interrupting_keeps_the_record(solve, tmp_path, monkeypatch):
    def interrupt(self, progress):
        if progress.iteration == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("flowsolve.cli.progress.ProgressLine.update", interrupt)
    code, _, err = solve("--out", tmp_path, max_iter=20)
    assert code == 130 and "interrupted" in err and "Traceback" not in err
    record = fs.open_run(tmp_path / "run.h5")
    assert record.status == "interrupted" and np.isfinite(record.best["x"]).all()


def test_the_installed_command_prints_progress_on_standard_error(tmp_path, photographs, prior_file):
    words = [sys.executable, "-m", "flowsolve.cli", "solve", photographs, "--task", "denoise", "--json"]
    words += ["--prior", prior_file, "--max-iter", "2", "--out", tmp_path / "run"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_images"] == 3
    assert "evals" in done.stderr and "PSNR" in done.stderr
    missing = subprocess.run([*words[:3], "solve"], capture_output=True, text=True, timeout=PATIENCE)
    assert missing.returncode == 2 and "Traceback" not in missing.stderr


def test_help_does_not_wait_for_torch():
    code = "import sys, flowsolve.cli; sys.exit('torch' in sys.modules or 'skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE).returncode == 0
    assert main(["--help"]) == 0


def test_a_preset_decides_solver_loss_start_and_iterations(solve, tmp_path):
    arguments = ("--json", "--preset", "oberlin-verm-2021", "--seed", 1)
    code, out, err = solve(*arguments, "--out", tmp_path / "a", max_iter=4)
    assert code == 0, err
    said = json.loads(out)
    assert said["solver"] == "adam" and said["sigma"] == 0 and said["lam"] == 2.5e-4
    record = fs.open_run(tmp_path / "a" / "run.h5")
    assert record.config["objective"]["formulation"] == "oberlin-verm-analysis"
    assert record.config["solver"]["options"]["lr"] == 0.1
    code, _, err = solve(*arguments, "--phi", "nll", "--out", tmp_path / "b", max_iter=4)
    assert code == 2 and "phi: got one together with the preset oberlin-verm-2021" in err
    code, _, err = solve("--preset", "oberlin", "--out", tmp_path / "c", max_iter=4)
    assert code == 2 and "did you mean 'oberlin-verm-2021'" in err
    code, _, err = solve("--preset", "asim-2020", "--out", tmp_path / "d", max_iter=4)
    assert code == 2 and "task: got 'inpaint-random'" in err


def test_restarts_keep_the_best_of_each_image_and_record_all(solve, tmp_path):
    code, out, err = solve(
        "--json", "--restarts", 3, "--formulation", "synthesis", "--out", tmp_path / "a", max_iter=4
    )
    assert code == 0, err
    said = json.loads(out)
    assert said["n_images"] == 3 and said["init"] == "multistart:zeros,random,random"
    record = fs.open_run(tmp_path / "a" / "run.h5")
    assert record.trace["value"].shape[1] == 9
    assert said["objective_mean"] == pytest.approx(record.best["value"].reshape(3, 3).min(0).mean())
    assert len(list((tmp_path / "a" / "restored").iterdir())) == 3
    code, _, err = solve("--restarts", 0, "--out", tmp_path / "b")
    assert code == 2 and "restarts: got 0" in err


def test_continuation_wraps_the_solver(solve, tmp_path):
    code, _, err = solve("--lam", 0.01, "--continuation", "100,10", "--out", tmp_path / "a", max_iter=6)
    assert code == 0, err
    solver = fs.open_run(tmp_path / "a" / "run.h5").config["solver"]
    assert solver["name"] == "continuation" and solver["options"]["factors"] == [100.0, 10.0]
    for given, name in (("ten", "continuation"), ("10,-1", "factors")):
        code, _, err = solve("--lam", 0.01, "--continuation", given, "--out", tmp_path / "b", max_iter=6)
        assert code == 2 and f"{name}: got" in err


def test_the_weight_can_be_chosen_by_the_discrepancy_principle(solve, tmp_path):
    code, out, err = solve(
        "--json", "--lam", "discrepancy", "--sigma", 0.1, "--out", tmp_path / "a", task="denoise", max_iter=5
    )
    assert code == 0, err
    said = json.loads(out)
    assert len(said["lam"]) == 3 and all(lam > 0 for lam in said["lam"])
    assert fs.open_run(tmp_path / "a" / "run.h5").config["objective"]["lam"] == said["lam"]
    code, _, err = solve("--lam", "discrepancy", "--sigma", 0, "--out", tmp_path / "b", max_iter=2)
    assert code == 2 and "discrepancy: needs a problem with noise" in err


def test_a_kernel_with_a_gain_asks_what_to_do(solve, tmp_path):
    np.save(tmp_path / "kernel.npy", np.full((4, 5), 1.0))
    options = ["--kernel", tmp_path / "kernel.npy", "--sigma", 0.02, "--init", "zeros"]
    code, _, err = solve(*options, "--out", tmp_path / "run", task="deblur")
    assert code == 2 and "sums to 20" in err and "--kernel-scale" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    sums = {}
    for scale in ("normalise", "as-is"):
        code, _, err = solve(*options, "--kernel-scale", scale, "--out", tmp_path / scale, task="deblur")
        assert code == 0, err
        sums[scale] = fs.open_run(tmp_path / scale / "run.h5").problem["y"].mean()
    assert sums["as-is"] / sums["normalise"] == pytest.approx(20, rel=0.01)


def test_images_whose_names_are_alike_once_made_safe_are_all_written(solve, tmp_path, photographs):
    (tmp_path / "in").mkdir()
    names = ["a#1", "a_1", "v[bold]2", "日" * 80, "$x", "line\nbreak\x1b[2J"]
    for name in names:
        (tmp_path / "in" / f"{name}.png").write_bytes((photographs / "photo0.png").read_bytes())
    code, out, err = solve("--out", tmp_path / "run[bold]", images=[tmp_path / "in"], max_iter=1)
    assert code == 0 and "\x1b[2J" not in out + err and "missing from font" not in err
    assert f"{tmp_path}/run[bold]: run.h5" in out
    summary = json.loads((tmp_path / "run[bold]" / "summary.json").read_text())
    written = {path.stem for path in (tmp_path / "run[bold]" / "restored").iterdir()}
    assert len(written) == len(names) and {"a_1", "a_1-2"} < written
    assert {image["name"] for image in summary["images"]} == written


def test_a_pipe_among_the_restored_images_is_refused_before_the_run(solve, tmp_path):
    (tmp_path / "run" / "restored").mkdir(parents=True)
    os.mkfifo(tmp_path / "run" / "restored" / "photo1.png")
    code, _, err = solve("--out", tmp_path / "run", "--force")
    assert code == 2 and "photo1.png, which is a named pipe" in err
    assert not (tmp_path / "run" / "run.h5").exists()
