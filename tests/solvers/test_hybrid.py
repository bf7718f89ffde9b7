import numpy as np
import pytest
import torch
from helpers import make_problem

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.functionals import Box
from flowsolve.objectives import (
    AsimSynthesis,
    CheckerboardAnalysis,
    OberlinVermAnalysis,
    OberlinVermSynthesis,
)
from flowsolve.solvers import LBFGS, Hybrid, hybrid
from flowsolve.solvers.hybrid import IMAGES, LATENTS, both_spaces

FORMULATIONS = (fs.Analysis, fs.Synthesis)
QUICK = {"window": 4, "probe": 3, "patience": 6, "stall": 10.0}


@pytest.mark.parametrize("phi", ["latent", "nll", "typical"])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_both_spaces_have_one_objective_and_share_the_counts(formulation, phi, tiny_prior, problem):
    objective = formulation(problem, tiny_prior, phi=phi)
    analysis, synthesis = both_spaces(objective)
    assert objective in (analysis, synthesis)
    z = torch.randn(3, tiny_prior.n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        synthesis.value(z), analysis.value(tiny_prior.decode(z)), rtol=1e-10, atol=1e-9
    )
    assert analysis.tally is synthesis.tally


@pytest.mark.parametrize("memory", ["keep", "empty"])
@pytest.mark.parametrize("phi", ["latent", "nll"])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_f_never_rises_and_both_spaces_are_used(formulation, phi, memory, tiny_prior, problem):
    objective = formulation(problem, tiny_prior, phi=phi)
    result = fs.solve(objective, "hybrid", max_iter=40, rtol=None, memory=memory, **QUICK)
    values, space = result.trace["value"], result.trace["space"]
    assert (np.diff(values, axis=0) <= 0).all()
    assert set(np.unique(space)) == {IMAGES, LATENTS}
    u = result.x if formulation is fs.Analysis else result.z
    np.testing.assert_allclose(objective.value(u).numpy(), result.value, rtol=1e-9)
    torch.testing.assert_close(tiny_prior.decode(result.z), result.x, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("first", "formulation"), [("images", fs.Analysis), ("latents", fs.Synthesis)])
def test_before_the_first_trial_it_is_the_inner_solver(first, formulation, tiny_prior, problem):
    objective = formulation(problem, tiny_prior, phi="latent")
    alone = fs.solve(objective, "lbfgs", max_iter=12, rtol=None)
    hybrid = fs.solve(objective, "hybrid", max_iter=12, rtol=None, first=first, patience=1000)
    np.testing.assert_array_equal(hybrid.trace["value"], alone.trace["value"])
    torch.testing.assert_close(hybrid.x, alone.x, rtol=0, atol=0)
    np.testing.assert_array_equal(hybrid.counts["evaluations"], alone.counts["evaluations"])


def test_images_of_a_batch_choose_for_themselves_as_they_would_alone(tiny_prior):
    operator = ops.Mask.random(missing=0.4, dim_shape=(3, 8, 8), seed=1, n_images=3)
    problem = make_problem(operator)
    # The trials of images differ where their line searches do: the budget between trials counts evaluations.
    start = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start[1:] = problem.y[1:]
    options = {"max_iter": 40, "rtol": None, "first": "images", **QUICK}
    together = fs.solve(fs.Analysis(problem, tiny_prior), "hybrid", start, **options)
    space = together.trace["space"]
    assert (space != space[:, :1]).any()
    for i in range(3):
        objective = fs.Analysis(problem.select([i]), tiny_prior)
        alone = fs.solve(objective, "hybrid", start[i : i + 1], **options)
        np.testing.assert_array_equal(alone.trace["space"][:, 0], space[:, i])
        np.testing.assert_allclose(alone.value[0], together.value[i], rtol=1e-7)
        assert alone.counts["evaluations"][0] == together.counts["evaluations"][i]


def test_images_of_a_batch_start_in_different_spaces_as_they_would_alone(tiny_prior):
    kept = (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.7).double()
    kept[1] = 1 - kept[1]
    problem = make_problem(ops.Mask(kept.expand(3, 3, 8, 8).clone(), dim_shape=(3, 8, 8)))
    options = {"max_iter": 12, "rtol": None, **QUICK}
    together = fs.solve(fs.Synthesis(problem, tiny_prior, phi="nll"), "hybrid", **options)
    space = together.trace["space"]
    assert space[0].tolist() == [LATENTS, IMAGES, LATENTS]
    for i in range(3):
        alone = fs.solve(fs.Synthesis(problem.select([i]), tiny_prior, phi="nll"), "hybrid", **options)
        np.testing.assert_array_equal(alone.trace["space"][:, 0], space[:, i])
        np.testing.assert_allclose(alone.trace["value"][:, 0], together.trace["value"][:, i], rtol=1e-9)


def test_no_trial_starts_that_could_not_pay_before_the_limit(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, phi="latent")
    options = {"max_iter": None, "rtol": None, **QUICK, "probe": 10, "first": "images"}
    short, long = (fs.solve(objective, "hybrid", max_evaluations=n, **options) for n in (25, 60))
    assert (short.trace["space"] == IMAGES).all()
    assert (long.trace["space"] == LATENTS).any()


@pytest.mark.parametrize(("phi", "lasting"), [("latent", IMAGES), ("nll", LATENTS)])
def test_where_much_is_measured_it_opens_in_the_other_space(phi, lasting, tiny_prior):
    mask = ops.Mask.random(missing=0.1, dim_shape=(3, 8, 8), seed=1)
    objective = fs.Synthesis(make_problem(mask), tiny_prior, phi=phi)
    options = {"window": 2, "opening": 8, "patience": 1000, "max_evaluations": 150, "rtol": None}
    result = fs.solve(objective, "hybrid", "zeros", max_iter=None, **options)
    space, value = result.trace["space"], result.trace["value"]
    assert (space[:2] == 1 - lasting).all() and (space[10] == lasting).all()
    assert (np.diff(value, axis=0) <= 0).all()


def test_a_point_from_which_the_flow_does_not_lead_back_may_be_on_the_way(tiny_prior, problem, monkeypatch):
    objective = fs.Synthesis(problem, tiny_prior, phi="latent")
    original, calls = hybrid.there_and_back, []

    def once_astray(*given):
        other, same = original(*given)
        calls.append(given)
        return other, same & (len(calls) != 3)

    options = {"first": "images", "max_iter": 25, "rtol": None}
    sound = fs.solve(objective, "hybrid", "zeros", **options)
    monkeypatch.setattr(hybrid, "there_and_back", once_astray)
    result = fs.solve(objective, "hybrid", "zeros", **options)
    # One of the runs' values is not seen, and nothing else changes.
    assert len(calls) > 3 and (np.diff(result.trace["value"], axis=0) <= 0).all()
    np.testing.assert_allclose(result.value, sound.value, rtol=1e-9)


def test_it_ends_where_neither_space_has_a_step_left(tiny_prior, problem):
    objective = fs.Analysis(problem, tiny_prior, phi="latent", lam=1.0)
    result = fs.solve(objective, "hybrid", "zeros", max_iter=2000, rtol=None)
    assert result.status == ["stalled"] * 3
    alone = fs.solve(objective, "lbfgs", "zeros", max_iter=2000, rtol=None)
    assert (result.value <= alone.value * (1 + 1e-5)).all()
    # Trials at every turn end at the same F, though not always with a word that no step is left.
    restless = fs.solve(objective, "hybrid", "zeros", max_iter=300, rtol=None, **QUICK)
    assert (restless.value <= alone.value * (1 + 1e-5)).all()


def test_noiseless_synthesis_keeps_the_measured_values(tiny_prior):
    problem = make_problem(sigma=0.0)
    objective = fs.Synthesis(problem, tiny_prior)
    result = fs.solve(objective, "hybrid", max_iter=15, rtol=None, **QUICK)
    torch.testing.assert_close(problem.operator.apply(result.x), problem.y, rtol=0, atol=1e-9)


@pytest.mark.parametrize("at", [5, 9, 14])
def test_a_recorded_run_continues_bit_by_bit(at, tiny_prior, problem, tmp_path):
    objective = fs.Analysis(problem, tiny_prior)
    whole = fs.solve(objective, "hybrid", max_iter=20, rtol=None, **QUICK)

    def stop(progress):
        if progress.iteration == at:
            raise KeyboardInterrupt

    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        fs.solve(
            objective,
            "hybrid",
            max_iter=20,
            rtol=None,
            record=path,
            checkpoint_seconds=0,
            callback=stop,
            **QUICK,
        )
    result = fs.resume(path, prior=tiny_prior)
    torch.testing.assert_close(result.x, whole.x, rtol=0, atol=0)
    for name in ("value", "space", "evaluations"):
        np.testing.assert_array_equal(result.trace[name], whole.trace[name])


def test_objectives_without_two_formulations_are_refused(tiny_prior, problem):
    hard = fs.Analysis(make_problem(sigma=0.0), tiny_prior)
    with pytest.raises(
        UnsupportedError, match=r"hard constraint.*give a number for lam, or use one of .*lbfgs"
    ):
        fs.solve(hard, "hybrid")
    extra = fs.Analysis(problem, tiny_prior, extra=Box(0, 1))
    with pytest.raises(UnsupportedError, match=r"solvers that take it: .*'forward_backward'"):
        fs.solve(extra, "hybrid")


def test_options_are_checked_and_recorded():
    assert Hybrid(inner=LBFGS(history=5)).config()["inner"]["options"]["history"] == 5
    assert Hybrid(inner={"name": "lbfgs", "options": {"history": 7}}).solver == LBFGS(history=7)
    with pytest.raises(ArgumentError, match="memory: got 'lose'"):
        Hybrid(memory="lose")
    with pytest.raises(ArgumentError, match="did you mean 'lbfgs'"):
        Hybrid(inner="lbfsg")
    with pytest.raises(ArgumentError, match="window: got 0"):
        Hybrid(window=0)


@pytest.mark.parametrize("kind", [OberlinVermSynthesis, CheckerboardAnalysis])
def test_the_published_synthesis_loss_has_both_spaces(kind, tiny_prior, problem):
    objective = kind(problem, tiny_prior, lam=0.1, checkerboard=0.3, block=2)
    analysis, synthesis = both_spaces(objective)
    z = torch.randn(3, tiny_prior.n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        synthesis.value(z), analysis.value(tiny_prior.decode(z)), rtol=1e-10, atol=1e-9
    )
    result = fs.solve(objective, "hybrid", max_iter=20, rtol=None, **QUICK)
    assert (result.value < result.trace["value"][0]).all()


@pytest.mark.parametrize("kind", [OberlinVermAnalysis, AsimSynthesis])
def test_an_objective_without_a_counterpart_is_refused(kind, tiny_prior, problem):
    with pytest.raises(UnsupportedError, match=f"hybrid: .*the {kind.name} objective has no formulation"):
        fs.solve(kind(problem, tiny_prior, lam=0.1), "hybrid", max_iter=1)
