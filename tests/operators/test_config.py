"""Descriptions of operators: short, JSON, and enough to rebuild them."""

import json

import numpy as np
import pytest

from flowsolve.errors import ArgumentError
from flowsolve.operators import Blur, Identity, LinearOperator, Mask, from_config, register_operator, registry
from flowsolve.operators.config import decode_array, encode_array


def test_round_trip(operator, rng):
    again = from_config(json.loads(json.dumps(operator.config())))
    assert type(again) is type(operator) and again.config() == operator.config()
    x = rng.standard_normal((operator.n_images or 2, *operator.dim_shape))
    np.testing.assert_array_equal(again(x), operator(x))


def test_what_was_made_from_a_recipe_stays_short():
    assert Mask.random(0.6, dim_shape=(3, 64, 64), seed=5, n_images=100).config() == {
        "name": "mask",
        "mask": {"random": {"missing": 0.6, "seed": 5, "n_images": 100}},
        "dim_shape": [3, 64, 64],
    }
    assert Blur.gaussian((1.0, 2.0), (3, 64, 64)).config()["kernel"] == {
        "gaussian": {"std": [1.0, 2.0], "size": None}
    }


@pytest.mark.parametrize(
    ("values", "dtype"), [([0, 1, 255], "|u1"), ([-1, 0.5], "<f4"), ([0.1, 300], "<f8"), ([256.0], "<f4")]
)
def test_arrays_take_the_least_room(values, dtype):
    encoded = encode_array(np.array(values))
    assert encoded["dtype"] == dtype
    np.testing.assert_array_equal(decode_array(encoded), values)


def test_third_party_operators_register():
    @register_operator("test-gain")
    class Gain(LinearOperator):
        """Multiply by a number."""

        def __init__(self, dim_shape, gain):
            super().__init__(dim_shape, dim_shape)
            self.gain = gain

        def _apply(self, x):
            return self.gain * x

        _adjoint = _apply

        def _options(self):
            return {"dim_shape": list(self.dim_shape), "gain": self.gain}

    try:
        op = from_config(json.loads(json.dumps((2 * Gain((2, 3), 4.0)).config())))
        np.testing.assert_array_equal(op(np.ones((2, 3))), np.full((2, 3), 8.0))
        assert "test-gain" in registry.names()
        with pytest.raises(ArgumentError, match="name: got 'test-gain'"):
            register_operator("test-gain")(Gain)
    finally:
        del registry._items["test-gain"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("blur", "config: got blur; accepted: a mapping"),
        ({}, "config: got {}; accepted: a mapping"),
        ({"name": "blurr"}, r"operator: got 'blurr'; accepted: .*did you mean 'blur'"),
        ({"name": "identity", "shape": [1]}, "accepted: the options of identity: dim_shape"),
        ({"name": "mask"}, "config: got missing a required argument: 'mask'"),
        ({"name": "sum"}, "config: got no 'operators' in sum"),
        ({"name": "scale", "operator": {"name": "identity", "dim_shape": [2]}}, "no 'scalar' in scale"),
        (
            {"name": "mask", "mask": {"shape": [5], "data": "AAAA"}},
            "config: got an array that cannot be read",
        ),
        ({"name": "mask", "mask": {"shape": [1], "data": "AA==", "dtype": "O"}}, "config: got dtype 'O'"),
    ],
)
def test_bad_configs(config, message):
    with pytest.raises(ArgumentError, match=message):
        from_config(config)


def test_identity_of_any_shape():
    assert from_config(Identity((5,)).config()).dim_shape == (5,)
