"""The examples leave no operator out, and those of other packages are found."""

import numpy as np

from flowsolve.operators import Identity, LinearOperator, registry
from flowsolve.operators import conformance_dense as dense
from flowsolve.operators.conformance_examples import examples, others
from flowsolve.operators.registration import composites


def test_every_operator_has_an_example():
    kinds = {type(op) for op in examples().values()}
    own = {registry.get(name) for name in registry if registry.get(name).__module__.startswith("flowsolve.")}
    assert kinds >= own | set(composites.values())


def test_every_example_is_small_enough_for_dense_algebra():
    for op in examples().values():
        assert max(np.prod(op.dim_shape), np.prod(op.codim_shape)) <= dense.LARGEST


def test_examples_are_the_same_each_time():
    first, second = examples(), examples()
    for name, op in first.items():
        np.testing.assert_array_equal(op.to_dense(), second[name].to_dense())


def test_operators_of_other_packages(monkeypatch):
    class Plain(LinearOperator):
        def __init__(self, dim_shape):
            super().__init__(dim_shape, dim_shape)

    class NeedsMore(Plain):
        def __init__(self, dim_shape, angle):
            super().__init__(dim_shape)

    registered = {"plain": Plain, "more": NeedsMore, "no operator": lambda dim_shape: 3}
    monkeypatch.setattr(registry, "_items", {**registry._items, **registered})
    found = others()
    assert list(found) == sorted(registered) and isinstance(found["plain"], Plain)
    assert found["more"].startswith("needs options (") and "angle" in found["more"]
    assert found["no operator"] == "makes a int"
    assert "identity" not in found and registry.get("identity") is Identity
