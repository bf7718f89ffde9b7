import hashlib

import pytest
import torch
from helpers import make_problem, make_tiny_prior

from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, FlowsolveError, UnsupportedError
from flowsolve.flows.checkpoints import save_prior
from flowsolve.flows.raw import raw_prior
from flowsolve.methods import Stage
from flowsolve.methods.stage import PriorShelf

WRONG = [
    ({"formulation": "syntesis"}, "formulation"),
    ({"formulation": []}, "formulation"),
    ({"phi": "smoothed", "formulation": "synthesis"}, "phi"),
    ({"phi": 3}, "phi"),
    ({"lam": -1}, "lam"),
    ({"lam": "map"}, "lam"),
    ({"lam": float("nan")}, "lam"),
    ({"lam": 1.0, "map_factor": 1.0}, "one of the two"),
    ({"solver": "lbgfs"}, "did you mean 'lbfgs'"),
    ({"solver": 3}, "solver"),
    ({"options": 5}, "options"),
    ({"options": {"learning": 1}}, "learning"),
    ({"init": 3}, "init"),
    ({"init": "zeroes"}, "did you mean 'zeros'"),
    ({"init": "encoded:previous"}, "init"),
    ({"init": "encoded:tikhonov-of-mine"}, "init"),
    ({"init": "checked:zeros"}, "init"),
    ({"init": "mixed:zeros"}, "init"),
    ({"init": "mixed:harmonic", "init_options": {"weight": 1}}, "init_options"),
    ({"init": "mixed:harmonic", "init_options": {"share": 1.5}}, "share"),
    ({"init": "mixed:harmonic", "init_options": {"share": "much"}}, "share"),
    ({"init": "zeros", "init_options": {"a": 1}}, "a baseline"),
    ({"init": "harmonic", "init_options": {"a": 1}}, "the option 'a'"),
    ({"init_options": "few"}, "init_options"),
    ({"max_iter": 2.5}, "max_iter"),
    ({"max_iter": True}, "max_iter"),
    ({"max_iter": -1}, "max_iter"),
    ({"keep": "worst"}, "keep"),
    ({"prior": 7}, "prior"),
    ({"put_back": "yes", "formulation": "synthesis"}, "put_back"),
    ({"put_back": True}, "put_back"),
    ({"put_back": True, "formulation": "synthesis", "held_out": {"fraction": 0.1}}, "put_back"),
    ({"objective_options": {"softness": 1}}, "the option 'softness'"),
    ({"objective_options": {"lam": 1}}, "the option 'lam'"),
    ({"objective_options": []}, "objective_options"),
    ({"held_out": {"share": 0.1}}, "the option 'share'"),
    ({"held_out": {"fraction": 2}}, "fraction"),
    ({"held_out": {"patience": "long"}}, "HeldOut"),
    ({"held_out": 0.1}, "held_out"),
    ({"iterations": 3}, "the key 'iterations'"),
]


@pytest.mark.parametrize(("document", "named"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_bad_values_are_refused_in_words(document, named):
    with pytest.raises(ArgumentError) as error:
        Stage.from_json(document)
    assert named in str(error.value)


@pytest.mark.parametrize("document", [3, "zeros", None, []])
def test_a_stage_is_an_object(document):
    with pytest.raises(ArgumentError, match="JSON object"):
        Stage.from_json(document)


def test_a_stage_goes_to_json_and_back():
    stage = Stage(
        formulation="synthesis",
        map_factor=0.5,
        options={"scaling": "levels"},
        init="encoded:harmonic",
        prior="raw:",
        held_out={"fraction": 0.2, "block": 4, "patience": 7},
    )
    assert Stage.from_json(stage.as_json()) == stage
    assert Stage().as_json() == {}


def test_words_say_what_differs():
    words = Stage(formulation="synthesis", lam=0.25, init="zeros", max_iter=7, put_back=True).in_words()
    assert words == (
        "over latents; latent with λ = 0.25; lbfgs; from zeros; 7 iterations; measured values put back"
    )
    held = Stage(map_factor=2, held_out={"fraction": 0.1}).in_words()
    assert "at 2 of the MAP weight" in held and "where the last stage ended" in held
    assert "held out" in held and "lowest misfit" in held
    assert "or harmonic where that predicts" in Stage(init="checked:harmonic").in_words()
    mixed = Stage(init="mixed:harmonic", init_options={"share": 0.3}, max_iter=0)
    assert mixed.in_words() == "the mean of where the last stage ended and 0.3 of harmonic; no iterations"
    assert "(weight=0.5)" in Stage(init="total-variation", init_options={"weight": 0.5}).in_words()


def test_a_shortened_stage_has_its_schedule_shortened():
    stage = Stage(solver="adam", options={"schedule": "cosine", "horizon": 50}, init="zeros", max_iter=50)
    shorter = stage.shortened(10)
    assert shorter.max_iter == 10 and shorter.options["horizon"] == 10
    assert stage.shortened(50) is stage and stage.shortened(0).options["horizon"] == 1


def test_weights_are_numbers_or_in_units_of_the_map_weight():
    problem = make_problem(sigma=0.2)
    assert Stage().weight(problem) == "map"
    assert Stage(lam=3.0).weight(problem) == 3.0
    assert Stage(map_factor=0.5).weight(problem) == pytest.approx(0.01)


def test_without_noise_a_constraint_needs_a_closed_form(tiny_prior):
    radon = ops.Radon(4, (3, 8, 8))
    problem = make_problem(radon, sigma=0.0)
    with pytest.raises(UnsupportedError, match="closed"):
        Stage().objective(problem, tiny_prior, PriorShelf(tiny_prior))


def test_a_checked_start_is_for_masks():
    stage = Stage(init="checked:total-variation")
    stage.check(make_problem())
    with pytest.raises(ArgumentError, match="a mask"):
        stage.check(make_problem(ops.Identity((3, 8, 8))))


def test_a_prior_that_is_not_there_says_so(tiny_prior, tmp_path):
    shelf = PriorShelf(tiny_prior)
    with pytest.raises(ArgumentError, match="did you mean 'faces64'"):
        shelf("face64")
    with pytest.raises(FlowsolveError, match=r"none\.safetensors"):
        shelf(str(tmp_path / "none.safetensors"))


def test_the_shelf_has_the_callers_prior_and_its_raw_latents_once(tiny_prior):
    shelf = PriorShelf(tiny_prior)
    assert shelf("tiny") is tiny_prior
    raw = shelf("raw:")
    assert raw is shelf("raw:") and raw.name == "raw:tiny" and raw.dtype == tiny_prior.dtype
    assert raw.sha256 == raw_prior(tiny_prior).sha256
    narrow = tiny_prior.to(dtype=torch.float32, coupling_dtype=torch.bfloat16).with_memory("checkpoint")
    raw = PriorShelf(narrow)("raw:")
    assert (raw.coupling_dtype, raw.memory) == (torch.bfloat16, "checkpoint")


def test_with_hashes_priors_are_found_by_them_alone(tiny_prior, tmp_path):
    path = str(tmp_path / "other.safetensors")
    save_prior(path, make_tiny_prior(seed=4))
    hashes = {path: hashlib.sha256(b"").hexdigest(), "tiny": make_tiny_prior(seed=5).sha256}
    shelf = PriorShelf(tiny_prior, hashes)
    for name in (path, "tiny"):
        with pytest.raises(FlowsolveError, match="SHA-256"):
            shelf(name)
    with pytest.raises(ArgumentError, match="whose SHA-256 the record has"):
        shelf("faces64")
