import json
import math

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.methods import Stage
from flowsolve.numbers import as_count, as_python, as_real, is_number, plain
from flowsolve.solvers import make_solver
from flowsolve.stopping import checked_limits

numbers = st.one_of(
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(0, 255).map(np.uint8),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.integers(-(2**31), 2**31).map(torch.tensor),
    st.floats().map(lambda v: torch.tensor(v, dtype=torch.float64)),
    st.integers(0, 9).map(np.array),
    st.sampled_from(
        [None, "3", b"3", 1j, np.bool_(True), torch.tensor(True), [1], np.ones(2), np.complex64(1)]
    ),
)


@examples(60)
@given(numbers)
def test_counts_and_reals_are_pythons_own_or_refused_by_name(value):
    for convert, kind in ((as_count, int), (as_real, float)):
        try:
            number = convert(value, "n")
        except ArgumentError as error:
            assert str(error).startswith("n: got ")
        else:
            assert type(number) is kind and math.isfinite(number) and number == kind(value)


@examples(60)
@given(st.sampled_from(["max_iter", "max_evaluations", "max_seconds", "rtol"]), numbers)
def test_limits_are_pythons_own_or_refused_by_name(name, value):
    try:
        limits = checked_limits(**{"max_iter": 5, "max_seconds": 1.0, name: value})
    except ArgumentError as error:
        assert str(error).split(":")[0] in (name, "RelativeChange")
    else:
        assert json.loads(json.dumps(limits)) == limits or math.isinf(limits[name])


@examples(60)
@given(numbers)
def test_options_of_solvers_and_operators_can_be_written_down(value):
    for make in (
        lambda: fs.solvers.base.describe(make_solver("lbfgs", history=value)),
        lambda: fs.solvers.base.describe(make_solver("adam", lr=value)),
        lambda: ops.Mask.random(missing=value, dim_shape=(3, 8, 8)).config(),
        lambda: fs.stopping.GradientNorm(value).config(),
    ):
        try:
            described = make()
        except ArgumentError:
            continue
        json.dumps(described)


ODD = ("x", None, [1], True, math.nan, math.inf, -1, 2**70, 1e308)


@pytest.mark.parametrize("name", fs.solvers.registry)
def test_every_option_of_every_solver_is_pythons_own_or_refused(name):
    """Also of the solvers of other packages, which compare and convert before they check."""
    options = {k: v for k, v in make_solver(name).config().items() if type(v) in (int, float)}
    given = {k: np.int64(v) if type(v) is int else np.float64(v) for k, v in options.items()}
    made = make_solver(name, **given).config()
    assert {k: type(made[k]) for k in options} == {k: type(v) for k, v in options.items()}
    for option in options:
        for odd in ODD:
            try:
                described = make_solver(name, **{option: odd}).config()
            except ArgumentError:
                continue
            json.dumps(described, allow_nan=False)


def test_stages_take_scalars_of_any_kind_and_keep_pythons_own():
    common = {"formulation": "synthesis", "init": "zeros"}
    for kind in (np.float32, np.float64, torch.tensor):
        stage = Stage(lam=kind(0.5), max_iter=np.int64(3), options={"history": torch.tensor(4)}, **common)
        same = Stage(lam=0.5, max_iter=3, options={"history": 4}, **common)
        assert json.dumps(stage.as_json()) == json.dumps(same.as_json())
    for name, odd in (
        ("max_iter", True),
        ("max_iter", 2.5),
        ("max_iter", 2**80),
        ("lam", np.nan),
        ("lam", -1),
    ):
        with pytest.raises(ArgumentError, match=f"^{name}: got "):
            Stage(**{name: odd}, **common)


def test_as_python_leaves_what_is_no_scalar():
    for value, expected in (
        (np.int8(3), 3),
        (torch.tensor(2.5), 2.5),
        (np.float64(1.0), 1.0),
        (np.array(7), 7),
    ):
        assert as_python(value) == expected and type(as_python(value)) is type(expected)
    array = np.ones(2)
    assert as_python(array) is array and as_python("3") == "3" and as_python(True) is True


def test_plain_keeps_values():
    given = {
        "a": np.int64(3),
        "b": [np.float32(0.5), torch.tensor(2)],
        "c": (np.arange(2), np.bool_(True)),
        "d": None,
    }
    assert plain(given) == {"a": 3, "b": [0.5, 2], "c": [[0, 1], True], "d": None}
    with pytest.raises(ArgumentError, match=r"record\.x\[1\]: got a set"):
        plain({"x": [1, {2}]})


def test_is_number():
    assert all(map(is_number, (1, 1.5, np.int8(1), np.float16(1), torch.tensor(1.0), np.array(3))))
    assert not any(map(is_number, (True, "1", None, [1], np.ones(1), 1j, np.bool_(False))))


@pytest.mark.parametrize("kind", [np.int64, np.float32, torch.tensor])
def test_a_run_of_such_numbers_is_recorded_like_any(kind, tiny_prior, problem, tmp_path):
    whole = kind is not np.float32
    options = {"max_iter": kind(2)} if whole else {"max_iter": 2, "rtol": kind(1e-7)}
    seed = kind(3) if whole else 3
    path = tmp_path / "run.h5"
    fs.solve(fs.Analysis(problem, tiny_prior), record=path, seed=seed, **options)
    config = fs.open_run(path).config
    assert config["limits"]["max_iter"] == 2 and config["initialiser"]["seed"] == 3
    assert fs.rerun(path, prior=tiny_prior).identical
