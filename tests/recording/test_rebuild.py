import json

import h5py
import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, RecordError, UnsupportedError
from flowsolve.fidelities import KullbackLeibler
from flowsolve.flows import save_prior
from flowsolve.functionals import PyxuFunctional, TotalVariation
from flowsolve.initialise import Start
from flowsolve.noise import Poisson
from flowsolve.recording.rebuild import rebuild, version_differences
from flowsolve.stopping import GradientNorm

SHAPE = (3, 8, 8)


@pytest.mark.parametrize(
    "operator",
    [
        ops.Mask.random(missing=0.4, dim_shape=SHAPE, seed=1, n_images=3),
        ops.Blur.motion(4, 30, dim_shape=SHAPE),
        ops.Downsample(2, dim_shape=SHAPE) @ ops.Blur.gaussian(0.8, dim_shape=SHAPE, boundary="reflect"),
    ],
    ids=["mask", "motion", "composition"],
)
@pytest.mark.parametrize("formulation", [fs.Analysis, fs.Synthesis])
def test_the_objective_has_the_same_values(formulation, operator, tiny_prior, tmp_path):
    objective = formulation(make_problem(operator), tiny_prior, phi="nll", lam=0.02)
    path = tmp_path / "run.h5"
    result = fs.solve(objective, init="zeros", max_iter=2, record=path, stopping=GradientNorm(1e-9))
    built = rebuild(fs.open_run(tmp_path / "run.h5"), tiny_prior)
    u = result.x if formulation is fs.Analysis else result.z
    torch.testing.assert_close(built.objective.value(u), objective.value(u), rtol=0, atol=0)
    assert built.solver == fs.solvers.LBFGS() and built.init == "zeros"
    assert "GradientNorm" in str(built.criterion.config())


def test_a_single_precision_run_is_rebuilt_in_single_precision(tiny_prior, tmp_path):
    prior = tiny_prior.to(dtype=torch.float32)
    fs.solve(fs.Analysis(make_problem(), prior), max_iter=1, record=tmp_path / "run.h5")
    built = rebuild(fs.open_run(tmp_path / "run.h5"), tiny_prior)
    assert built.objective.prior.dtype == torch.float32 == built.objective.problem.y.dtype


def test_what_cannot_be_built_again_says_so(tiny_prior, problem, tmp_path):
    operator = pytest.importorskip("pyxu.operator")
    path = tmp_path / "run.h5"
    extra = PyxuFunctional(operator.L1Norm(SHAPE), weight=0.01)
    objective = fs.Analysis(problem, tiny_prior, extra=extra)
    fs.solve(objective, "forward_backward", "zeros", max_iter=1, record=path)
    assert rebuild(fs.open_run(path), tiny_prior).objective.extra.config() == extra.config()
    record = fs.open_run(path)
    record.config["objective"]["extra"]["name"] = "gone"
    with pytest.raises(UnsupportedError, match="a 'gone' term cannot be built again"):
        rebuild(record, tiny_prior)
    with pytest.raises(RecordError, match="prior 'tiny' cannot be loaded"):
        rebuild(fs.open_run(path))
    fs.solve(
        fs.Analysis(problem, tiny_prior, extra=TotalVariation(0.02, iterations=7)),
        "forward_backward",
        max_iter=1,
        record=path,
        force=True,
    )
    assert rebuild(fs.open_run(path), tiny_prior).objective.extra.iterations == 7


def test_version_differences_are_listed(tiny_prior, problem, tmp_path):
    fs.solve(fs.Analysis(problem, tiny_prior), max_iter=1, record=tmp_path / "run.h5")
    record = fs.open_run(tmp_path / "run.h5")
    assert version_differences(record) == {}
    record.config["versions"]["numpy"] = None
    assert version_differences(record) == {"numpy": (None, np.__version__)}


def test_another_fidelity_is_rebuilt(tiny_prior, tmp_path):
    operator = ops.Blur.uniform(3, dim_shape=SHAPE)
    y = fs.degrade(operator, make_images(), noise=Poisson(peak=40))
    fidelity = KullbackLeibler(peak=40, background=0.1)
    objective = fs.Analysis(fs.InverseProblem(operator, y, sigma=0.1), tiny_prior, fidelity=fidelity)
    result = fs.solve(objective, "adam", make_images(), max_iter=2, record=tmp_path / "run.h5")
    built = rebuild(fs.open_run(tmp_path / "run.h5"), tiny_prior)
    torch.testing.assert_close(built.objective.value(result.x), objective.value(result.x), rtol=0, atol=0)


def test_a_start_that_was_given_is_kept_whatever_it_is_called(tiny_prior, problem, tmp_path):
    start = Start(x=make_images() * 0.5, name="half as bright", seed=3)
    fs.solve(fs.Analysis(problem, tiny_prior), init=start, max_iter=1, record=tmp_path / "run.h5")
    init = rebuild(fs.open_run(tmp_path / "run.h5"), tiny_prior).init
    assert init.name == "half as bright"
    torch.testing.assert_close(init.x, start.x, rtol=0, atol=0)


@pytest.fixture
def prior_path(tiny_prior, tmp_path):
    return save_prior(tmp_path / "prior.safetensors", tiny_prior)


def recorded(problem, prior, path, **missing):
    """Record a short run and return it, without what versions before did not write."""
    fs.solve(fs.Analysis(problem, prior), max_iter=3, rtol=None, record=path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file["config"].attrs["json"])
        config["prior"] = {name: value for name, value in config["prior"].items() if name not in missing}
        file["config"].attrs["json"] = json.dumps(config)
    return fs.open_run(path)


@pytest.mark.parametrize("given", [False, True], ids=["loaded", "given"])
def test_the_prior_computes_as_it_did_in_the_run(prior_path, problem, tmp_path, given):
    options = {"memory": "checkpoint", "coupling_dtype": torch.bfloat16}
    prior = fs.load_prior(prior_path, dtype=torch.float64, **options)
    record = recorded(problem, prior, tmp_path / "run.h5")
    assert record.config["prior"]["memory"] == "checkpoint"
    assert record.config["prior"]["coupling_dtype"] == "bfloat16"
    other = fs.load_prior(prior_path, dtype=torch.float32, memory="invertible") if given else None
    built = rebuild(record, other).objective.prior
    assert (built.memory, built.coupling_dtype, built.dtype) == ("checkpoint", torch.bfloat16, torch.float64)
    assert fs.rerun(tmp_path / "run.h5", prior=other).identical


def test_a_record_that_does_not_say_how_the_prior_computed(prior_path, problem, tmp_path):
    prior = fs.load_prior(prior_path, dtype=torch.float64)
    record = recorded(problem, prior, tmp_path / "run.h5", memory=None, coupling_dtype=None)
    assert "memory" not in record.config["prior"]
    built = rebuild(record).objective.prior
    assert (built.memory, built.coupling_dtype) == ("store", torch.float64)
    narrow = prior.to(coupling_dtype=torch.bfloat16).with_memory("checkpoint")
    built = rebuild(record, narrow).objective.prior
    assert (built.memory, built.coupling_dtype) == ("checkpoint", torch.bfloat16)
    assert fs.rerun(tmp_path / "run.h5").identical


@pytest.mark.parametrize(("field", "value"), [("memory", "rope"), ("coupling_dtype", "float3")])
def test_a_mode_that_there_is_not_is_refused(tiny_prior, problem, tmp_path, field, value):
    record = recorded(problem, tiny_prior, tmp_path / "run.h5")
    record.config["prior"][field] = value
    with pytest.raises(ArgumentError, match=f"{field}: got '?{value}'?"):
        rebuild(record, tiny_prior)
