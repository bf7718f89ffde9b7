"""Operators and array libraries that the tests run over."""

import numpy as np
import pytest

from flowsolve.operators.conformance import MAKERS, available_namespaces
from flowsolve.operators.conformance_examples import examples

# Operators of other libraries have no description to bring them back, and tests of their own.
OPERATORS = {name: op for name, op in examples().items() if name != "foreign"}


def library(name):
    """A parameter for an array library, skipped (not failed) where it is not there."""
    marks = [pytest.mark.gpu] if name in ("cupy", "torch-cuda") else []
    if name not in available_namespaces():
        marks.append(pytest.mark.skip(reason=f"{name} is not available here"))
    return pytest.param(name, marks=marks)


def pytest_generate_tests(metafunc):
    if "where" in metafunc.fixturenames:
        metafunc.parametrize("where", [library(name) for name in MAKERS])
    if "operator_name" in metafunc.fixturenames:
        metafunc.parametrize("operator_name", list(OPERATORS))


@pytest.fixture
def operator(operator_name):
    return OPERATORS[operator_name]


@pytest.fixture
def rng():
    return np.random.default_rng(0)
