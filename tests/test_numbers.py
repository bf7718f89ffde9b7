import json
import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import flowsolve as fs
from flowsolve import operators as ops
from flowsolve.errors import ArgumentError
from flowsolve.numbers import as_count, as_real, is_number, plain
from flowsolve.solvers import make_solver
from flowsolve.stopping import checked_limits

EXAMPLES = int(os.environ.get("FLOWSOLVE_EXAMPLES", "60"))

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


@settings(max_examples=EXAMPLES, deadline=None)
@given(numbers)
def test_counts_and_reals_are_pythons_own_or_refused_by_name(value):
    for convert, kind in ((as_count, int), (as_real, float)):
        try:
            number = convert(value, "n")
        except ArgumentError as error:
            assert str(error).startswith("n: got ")
        else:
            assert type(number) is kind and math.isfinite(number) and number == kind(value)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(["max_iter", "max_evaluations", "max_seconds", "rtol"]), numbers)
def test_limits_are_pythons_own_or_refused_by_name(name, value):
    try:
        limits = checked_limits(**{"max_iter": 5, "max_seconds": 1.0, name: value})
    except ArgumentError as error:
        assert str(error).split(":")[0] in (name, "RelativeChange")
    else:
        assert json.loads(json.dumps(limits)) == limits or math.isinf(limits[name])


@settings(max_examples=EXAMPLES, deadline=None)
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
