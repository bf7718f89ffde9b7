import json

import numpy as np
import pytest
import torch
from helpers import make_images, make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import UnsupportedError
from flowsolve.flows import FlowPrior, Glow, GlowConfig
from flowsolve.methods import Method, plan_method
from flowsolve.methods.auto import Between
from flowsolve.operators.conformance_examples import examples

EXAMPLES = examples()


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.3])
def test_there_are_stages_for_every_operator(sigma, tiny_prior):
    random = np.random.default_rng(0)
    for name, operator in EXAMPLES.items():
        y = operator.apply(random.random((operator.n_images or 2, *operator.dim_shape)))
        problem = fs.InverseProblem(operator, y, sigma=sigma)
        if len(operator.dim_shape) != 3:
            with pytest.raises(UnsupportedError, match="images"):
                plan_method("auto", problem, tiny_prior)
            continue
        method = plan_method("auto", problem, tiny_prior)
        assert method.reason and method.stages, name
        assert Method.from_json(json.loads(json.dumps(method.as_json()))) == method, name
        for stage in method.stages:
            stage.check(problem)


@pytest.mark.parametrize("sigma", [0.0, 0.01])
@pytest.mark.parametrize(
    "operator",
    [
        ops.Identity((3, 8, 8)),
        ops.Mask.box(3, dim_shape=(3, 8, 8)),
        ops.Blur.uniform(3, (3, 8, 8)),
        ops.Downsample(4, (3, 8, 8)),
        ops.Grey((3, 8, 8)),
        ops.Radon(4, (3, 8, 8)),
        ops.RandomProjection(40, (3, 8, 8)),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_it_runs_and_the_truth_changes_nothing(operator, sigma, tiny_prior):
    problem = make_problem(operator, sigma=sigma)
    blind = fs.InverseProblem(operator, problem.y, sigma=sigma)
    ours, theirs = (fs.restore(p, tiny_prior, max_iter=4) for p in (problem, blind))
    torch.testing.assert_close(ours.x, theirs.x, rtol=0, atol=0)
    assert ours.method == theirs.method and ours.notes == theirs.notes and torch.isfinite(ours.x).all()


def test_what_can_be_inverted_is(tiny_prior):
    blur = ops.Blur(np.array([[0.1], [0.8], [0.1]]), (3, 8, 8))
    result = fs.restore(fs.InverseProblem(blur, blur.apply(make_images()), sigma=0.0), tiny_prior)
    torch.testing.assert_close(result.x, make_images())
    assert not result.iterations.any()


def test_what_is_hidden_is_found_over_latents_first(tiny_prior):
    def planned(operator, **options):
        problem = make_problem(operator, sigma=0.01)
        return plan_method("auto", problem, options.get("prior", tiny_prior)).stages

    stages = planned(ops.Grey((3, 8, 8)))
    assert [s.formulation for s in stages] == ["synthesis", "synthesis", "analysis"]
    assert stages[0].held_out and not stages[1].held_out and stages[2].phi == "smoothed"
    holes = planned(ops.Mask.box(5, dim_shape=(3, 8, 8)))
    assert holes[2].init == "checked:harmonic" and holes[2].phi == "nll"
    assert holes[3].init == "mixed:harmonic" and holes[3].max_iter == 0
    assert [s.formulation for s in planned(ops.Identity((3, 8, 8)))] == ["analysis"]


def test_a_prior_of_crops_is_not_asked_what_is_in_a_hole():
    prior = FlowPrior(Glow(GlowConfig(channels=3, levels=2, steps=1, hidden=4)), dtype=torch.float64)
    problem = make_problem(ops.Mask.box(5, dim_shape=(3, 8, 8)), sigma=0.01)
    (stage,) = plan_method("auto", problem, prior).stages
    assert stage.formulation == "analysis" and stage.init == "harmonic"


def test_weights_go_over_from_little_to_much_noise():
    between = Between((0.01, 0.03), (0.5, 0.35))
    assert [between.at(sigma) for sigma in (0.001, 0.01, 0.03, 0.2)] == [0.5, 0.5, 0.35, 0.35]
    assert 0.35 < between.at(0.02) < 0.5


@pytest.mark.slow
def test_it_runs_with_a_prior_that_comes_with_the_package(tmp_path):
    mask = ops.Mask.box(21, dim_shape=(3, 64, 64))
    x, path = make_images(1, size=64), tmp_path / "run.h5"
    problem = fs.InverseProblem(mask, fs.degrade(mask, x, sigma=0.01), sigma=0.01)
    result = fs.restore(problem, "faces64", max_iter=6, record=path)
    assert result.iterations.tolist() == [6] and result.x.shape == (1, 3, 64, 64)
    assert "faces64-additive" in json.dumps(fs.open_run(path).method["stages"])
    assert fs.rerun(path).identical
