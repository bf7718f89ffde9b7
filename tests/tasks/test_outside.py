"""A task from outside, with an option, a start and a baseline of its own, everywhere that tasks go."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

import flowsolve as fs
from flowsolve import baselines, initialise, operators, tasks
from flowsolve.cli import main
from flowsolve.errors import ArgumentError
from flowsolve.operators.registration import registry as operator_registry
from flowsolve.recording.rebuild import problem_of
from flowsolve.studies.cell import make_problem as problem_of_cell
from flowsolve.studies.planning import make_plan
from flowsolve.tasks import Task, option


@dataclass(frozen=True, eq=False)
class Dim(Task):
    """Undo a dimming."""

    sigma: ClassVar[float] = 0.02
    starts: ClassVar[dict] = {"analysis": "brightened", "synthesis": "zeros"}

    strength: float = option(0.5, "What light is left.")
    weights: np.ndarray | None = option(
        None, "Light of each pixel.", read=lambda path, options: np.load(path)
    )

    def operator(self, dim_shape, *, n_images=1, seed=0):
        if self.weights is not None:
            return operators.Mask(self.weights, dim_shape)
        return self.strength * operators.Identity(dim_shape)

    def baselines(self, problem):
        return {"brightened": brightened, "half-grey": lambda p: torch.full_like(p.y, 0.5)}

    def classical_start(self, problem):
        return "brightened"


def brightened(problem):
    """The measurements, as bright as they were."""
    return problem.operator.pinv(problem.y)


@pytest.fixture
def dim(monkeypatch):
    """Register the task, and its baseline, for the length of a test."""
    for registry in (tasks.registry, baselines.registry, initialise.registry):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
    tasks.registry.names(), operator_registry.names()
    baselines.registry.register("brightened")(brightened)
    tasks.register_task("dim")(Dim)


def test_on_the_command_line(dim, tmp_path, prior_file, photographs, capsys):
    out = tmp_path / "run"
    words = ["solve", photographs, "--task", "dim", "--task-option", "strength=0.25", "--prior", prior_file]
    assert main([str(w) for w in (*words, "--out", out, "--max-iter", 2, "--json")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["baseline"]) == {"brightened", "half-grey"} and said["sigma"] == 0.02
    record = fs.open_run(out / "run.h5")
    assert record.config["task"] == {"name": "dim", "options": {"strength": 0.25}}
    assert set(record.baselines) == {"brightened", "half-grey"}
    problem = problem_of(record)
    assert problem.task.strength == 0.25 and baselines.classical_start(problem) == "brightened"
    assert "brightened" in record.config["initialiser"]["name"]
    assert main(["rerun", str(out / "run.h5"), "--prior", str(prior_file)]) == 0
    assert "identical" in capsys.readouterr().out
    assert main(["list", "tasks", "dim"]) == 0
    assert "What light is left." in capsys.readouterr().out


def test_an_array_from_a_file(dim, tmp_path, prior_file, photographs):
    np.save(tmp_path / "w.npy", np.linspace(0.3, 1, 64).reshape(8, 8))
    words = ["solve", photographs, "--task", "dim", "--task-option", f"weights={tmp_path / 'w.npy'}"]
    words += ["--prior", prior_file, "--out", tmp_path / "run", "--max-iter", 1, "--solver", "lbfgs"]
    assert main([str(w) for w in words]) == 0
    assert fs.open_run(tmp_path / "run" / "run.h5").config["operator"]["name"] == "mask"


def test_a_run_that_was_interrupted_goes_on(dim, tmp_path, tiny_prior, problem):
    task = tasks.make_task("dim", {"strength": 0.5})
    operator = task.operator((3, 8, 8))
    y = fs.degrade(operator, problem.x_true, sigma=0.02)
    own = fs.InverseProblem(operator, y, sigma=0.02, task=task)

    def stop(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fs.restore(own, tiny_prior, record=tmp_path / "run.h5", max_iter=6, callback=stop)
    whole = fs.restore(own, tiny_prior, max_iter=6)
    again = fs.resume(tmp_path / "run.h5", prior=tiny_prior)
    np.testing.assert_array_equal(again.x, whole.x)
    assert "brightened" in whole.method.reason


def test_in_a_study(dim, tmp_path, prior_file, photographs, tiny_prior):
    np.save(tmp_path / "w.npy", np.full((8, 8), 0.5))
    (tmp_path / "study.toml").write_text(f'''
images = "{photographs}"
[tasks.weak]
task = "dim"
strength = 0.3
[tasks.by-file]
task = "dim"
weights = "w.npy"
[[cells]]
task = ["weak", "by-file", "dim"]
prior = "{prior_file}"
start = ["usual"]
''')
    plan = make_plan(tmp_path / "study.toml")
    assert [cell.init for cell in plan.cells] == ["brightened"] * 3
    assert [cell.operator for cell in plan.cells] == [{"strength": 0.3}, {"weights": "w.npy"}, {}]
    problem = problem_of_cell(plan.cells[1], plan.inputs, tiny_prior)
    assert problem.task.name == "dim" and problem.operator.mask.max() == 0.5
    text = (tmp_path / "study.toml").read_text()
    (tmp_path / "study.toml").write_text(text.replace("strength = 0.3", 'strength = "much"\nlight = 2'))
    with pytest.raises(ValueError, match=r"(?s)strength: got 'much'.*light: the task dim does not take it"):
        make_plan(tmp_path / "study.toml")


def test_what_tasks_refuse(dim):
    for name, options, message in (
        ("dim", {"light": 2}, "light: got one for the task dim; accepted: strength, weights"),
        ("dim", {"strengh": 2}, "did you mean 'strength'"),
        ("dim", {"strength": "much"}, "strength: got 'much'"),
        ("denoise", {"strength": 2}, "strength: .*it is for dim"),
    ):
        with pytest.raises(ArgumentError, match=message):
            tasks.make_task(name, options)
