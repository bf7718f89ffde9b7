"""What ``show`` and ``answer`` say of records of methods, and of classical restorations beside a run."""

import numpy as np
from helpers import make_problem

import flowsolve as fs
from flowsolve.cli import main
from flowsolve.methods import Method, Stage
from flowsolve.recording.baselines import write_baselines
from flowsolve.recording.earlier import values_of_last_stage
from flowsolve.studies.answers import best_images
from flowsolve.studies.index import read_index

TWO = Method(
    "two",
    (
        Stage(formulation="synthesis", lam=1e-9, init="zeros", max_iter=4),
        Stage(phi="latent", lam=10.0, solver="gradient_descent", max_iter=2),
    ),
    "to see both",
)


def recorded(prior, folder):
    path = folder / "two.h5"
    problem = make_problem()
    return path, problem, fs.restore(problem, prior, TWO, record=path)


def test_lowest_f_of_a_method_is_of_its_last_stage(tiny_prior, tmp_path, capsys):
    path, _, result = recorded(tiny_prior, tmp_path)
    value = values_of_last_stage(result.trace)
    # Were stages compared, the first would have the lowest F.
    assert np.isnan(value[:5]).all() and np.nanmin(value) > result.trace["value"].min()
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    mean = out.strip().splitlines()[-1].split()
    assert mean[0] == "mean" and mean[1] == f"{value[5].mean():.5g}"
    assert mean[2] == f"{np.nanmin(value, axis=0).mean():.5g}"
    for word in ("two: to see both", "stage 1", "over latents", "stage 2", "kept"):
        assert word in out, word


def test_classical_restorations_that_are_better_are_named_first(tiny_prior, tmp_path, capsys):
    path, problem, _ = recorded(tiny_prior, tmp_path)
    truth = problem.x_true.numpy()
    write_baselines(path, {"worse": truth * 0, "total-variation": truth + 1e-3})
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.index("total-variation 60.00 dB") < out.index("worse") and "BELOW the best of them" in out
    answer = best_images(read_index([path]))
    assert "the classical total-variation is better than every run; best of them is two" in answer.text
    assert "classical: total-variation 60.00 dB, worse" in answer.text
    write_baselines(path, {"worse": truth * 0})
    assert "is better than every run" not in best_images(read_index([path])).text
